// The API key for a broker that runs elsewhere, in AIZUMI_TEST_KEY: that of the stack of docker-compose.yml.

/** The header with the key, if there is one; read at each request, since the key is created with the stack. */
export function testKey(): Record<string, string> {
  const { AIZUMI_TEST_KEY: key } = process.env;
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}
