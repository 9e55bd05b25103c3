// The key to a broker that runs elsewhere and asks for one, in AIZUMI_TEST_KEY: the stack of docker-compose.yml.

/** The header for it, if there is one; read at each request, for the key is made with the stack. */
export function testKey(): Record<string, string> {
  const { AIZUMI_TEST_KEY: key } = process.env;
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}
