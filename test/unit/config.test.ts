import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { expect } from 'chai';
import { ConfigError, SETTING_NAMES, loadConfig } from '../../src/config/config.js';
import type { Config } from '../../src/config/config.js';

const DEFAULTS: Config = {
  host: '127.0.0.1',
  port: 8080,
  allowAnonymous: false,
  apiKeysFile: undefined,
  jwtIssuer: undefined,
  jwtAudience: undefined,
  jwtJwksUrl: undefined,
  jwtPublicKeyFile: undefined,
  workers: 1,
  keepAliveMs: 65_000,
  probePort: undefined,
  tlsCertFile: undefined,
  tlsKeyFile: undefined,
  tlsClientCaFile: undefined,
  brokerId: 5000,
  redisUrl: undefined,
  redisUsername: undefined,
  redisPasswordFile: undefined,
  redisCaFile: undefined,
  redisCertFile: undefined,
  redisKeyFile: undefined,
  redisServer: undefined,
  dataDir: resolve('data'),
  keyPrefix: 'aizumi',
  durability: 'primary',
  durabilityTimeoutMs: 1_000,
  replicationNodes: undefined,
  replicaMaxLagMs: 3_000,
  drainDelayMs: 0,
  dedupWindowMs: 300_000,
  visibilityTimeoutMs: 30_000,
  maxDeliveries: 20,
  maxQueueLength: 1_000_000,
  maxQueueBytes: 1_073_741_824,
  maxClientQueues: 20_000,
  maxClientBytes: 1_073_741_824,
  maxBodyBytes: 1_048_576,
  maxBatch: 1_000,
  maxReplyBytes: 16_777_216,
  maxBytesInFlight: undefined,
  maxWaitingRecvs: 20_000,
  maxClientWaitingRecvs: 10_000,
  maxConnectionWaitingRecvs: 1_000,
  maxConnections: undefined,
  maxClientRequestsPerS: undefined,
  maxAddressRequestsPerS: undefined,
  maxEventLoopDelayMs: undefined,
  maxUnansweredCommands: undefined,
  logLevel: 'info',
  metricsPort: undefined,
  metricsHost: '127.0.0.1',
  metricsQueues: 20,
  tracesUrl: undefined,
  tracesRatio: 1,
};

const BAD_REDIS_URLS = [
  'localhost',
  'localhost:6379',
  '/run/redis.sock',
  '//localhost',
  'http://localhost',
  'tcp://localhost:6379',
  'redis+sentinel://localhost',
  'redis+cluster://',
  'redis+cluster://h1,,h2',
  'redis:localhost',
  'redis://',
  'rediss://',
  'redis:///0',
  'redis://:6379',
  'redis://localhost:99999',
  'redis://localhost:port',
  'redis://local host',
  'redis://[::1',
  'unix://',
  'unix:///',
];

const REDIS_URL_FAULT =
  'AIZUMI_REDIS_URL must be an address such as redis://host:6379, rediss://host:6379, unix:///path/of/socket, ' +
  'redis+sentinel://h1:26379,h2:26379,h3:26379/mymaster or redis+cluster://h1:6379,h2:6379,h3:6379';

/** The faults of `env`, one line per variable. */
function faults(env: Record<string, string>): string[] {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigError);
    return (error as ConfigError).message.split('\n');
  }
}

describe('config', () => {
  it('has a default for everything', () => expect(loadConfig({})).to.deep.equal(DEFAULTS));

  it('reads every variable', () => {
    const env = {
      AIZUMI_HOST: '0.0.0.0',
      AIZUMI_PORT: '0',
      AIZUMI_ALLOW_ANONYMOUS: 'true',
      AIZUMI_API_KEYS_FILE: '/etc/aizumi/keys.yaml',
      AIZUMI_JWT_ISSUER: 'https://issuer.example/',
      AIZUMI_JWT_AUDIENCE: 'aizumi',
      AIZUMI_JWT_JWKS_URL: 'https://issuer.example/jwks.json',
      AIZUMI_WORKERS: '4',
      AIZUMI_KEEP_ALIVE_MS: '620000',
      AIZUMI_PROBE_PORT: '8081',
      AIZUMI_TLS_CERT_FILE: 'package.json',
      AIZUMI_TLS_KEY_FILE: 'package.json',
      AIZUMI_TLS_CLIENT_CA_FILE: resolve('package.json'),
      AIZUMI_BROKER_ID: '4294967295',
      AIZUMI_REDIS_URL: 'rediss://redis.example:6380/2',
      AIZUMI_REDIS_USERNAME: 'user',
      AIZUMI_REDIS_PASSWORD_FILE: 'package.json',
      AIZUMI_REDIS_CA_FILE: 'package.json',
      AIZUMI_REDIS_CERT_FILE: 'package.json',
      AIZUMI_REDIS_KEY_FILE: 'package.json',
      AIZUMI_REDIS_SERVER: '/usr/bin/valkey-server',
      AIZUMI_DATA_DIR: '/var/lib/aizumi',
      AIZUMI_KEY_PREFIX: 'my.app-1:mq',
      AIZUMI_DURABILITY: 'quorum',
      AIZUMI_DURABILITY_TIMEOUT_MS: '100',
      AIZUMI_REPLICATION_NODES: '5',
      AIZUMI_REPLICA_MAX_LAG_MS: '600000',
      AIZUMI_DRAIN_DELAY_MS: '2000',
      AIZUMI_DEDUP_WINDOW_MS: '86400000',
      AIZUMI_VISIBILITY_TIMEOUT_MS: '0',
      AIZUMI_MAX_DELIVERIES: '1',
      AIZUMI_MAX_QUEUE_LENGTH: '1',
      AIZUMI_MAX_QUEUE_BYTES: '65536',
      AIZUMI_MAX_CLIENT_QUEUES: '1',
      AIZUMI_MAX_CLIENT_BYTES: '65536',
      AIZUMI_MAX_BODY_BYTES: '1024',
      AIZUMI_MAX_BATCH: '1',
      AIZUMI_MAX_REPLY_BYTES: '65536',
      AIZUMI_MAX_BYTES_IN_FLIGHT: '1024',
      AIZUMI_MAX_WAITING_RECVS: '1',
      AIZUMI_MAX_CLIENT_WAITING_RECVS: '2',
      AIZUMI_MAX_CONNECTION_WAITING_RECVS: '3',
      AIZUMI_MAX_CONNECTIONS: '1',
      AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '1000000',
      AIZUMI_MAX_ADDRESS_REQUESTS_PER_S: '1',
      AIZUMI_MAX_EVENT_LOOP_DELAY_MS: '10',
      AIZUMI_MAX_UNANSWERED_COMMANDS: '100',
      AIZUMI_LOG_LEVEL: 'silent',
      AIZUMI_METRICS_PORT: '9464',
      AIZUMI_METRICS_HOST: '::',
      AIZUMI_METRICS_QUEUES: '0',
      AIZUMI_TRACES_URL: 'https://collector:4318/v1/traces',
      AIZUMI_TRACES_RATIO: '0.25',
    };
    // one of the two variables that exclude each other
    const read = [...Object.keys(env), 'AIZUMI_JWT_PUBLIC_KEY_FILE'];
    expect(read.sort(), 'a setting is missing in this test').to.deep.equal([...SETTING_NAMES].sort());
    const { AIZUMI_JWT_JWKS_URL: _, ...rest } = env;
    const withFile = loadConfig({ ...rest, AIZUMI_JWT_PUBLIC_KEY_FILE: '/etc/aizumi/issuer.pem' });
    expect(withFile).to.include({ jwtPublicKeyFile: '/etc/aizumi/issuer.pem', jwtJwksUrl: undefined });
    expect(loadConfig(env)).to.deep.equal({
      host: '0.0.0.0',
      port: 0,
      allowAnonymous: true,
      apiKeysFile: '/etc/aizumi/keys.yaml',
      jwtIssuer: 'https://issuer.example/',
      jwtAudience: 'aizumi',
      jwtJwksUrl: 'https://issuer.example/jwks.json',
      jwtPublicKeyFile: undefined,
      workers: 4,
      keepAliveMs: 620_000,
      probePort: 8081,
      tlsCertFile: resolve('package.json'),
      tlsKeyFile: resolve('package.json'),
      tlsClientCaFile: resolve('package.json'),
      brokerId: 4294967295,
      redisUrl: 'rediss://redis.example:6380/2',
      redisUsername: 'user',
      redisPasswordFile: resolve('package.json'),
      redisCaFile: resolve('package.json'),
      redisCertFile: resolve('package.json'),
      redisKeyFile: resolve('package.json'),
      redisServer: '/usr/bin/valkey-server',
      dataDir: '/var/lib/aizumi',
      keyPrefix: 'my.app-1:mq',
      durability: 'quorum',
      durabilityTimeoutMs: 100,
      replicationNodes: 5,
      replicaMaxLagMs: 600_000,
      drainDelayMs: 2_000,
      dedupWindowMs: 86_400_000,
      visibilityTimeoutMs: 0,
      maxDeliveries: 1,
      maxQueueLength: 1,
      maxQueueBytes: 65_536,
      maxClientQueues: 1,
      maxClientBytes: 65_536,
      maxBodyBytes: 1024,
      maxBatch: 1,
      maxReplyBytes: 65_536,
      maxBytesInFlight: 1024,
      maxWaitingRecvs: 1,
      maxClientWaitingRecvs: 2,
      maxConnectionWaitingRecvs: 3,
      maxConnections: 1,
      maxClientRequestsPerS: 1_000_000,
      maxAddressRequestsPerS: 1,
      maxEventLoopDelayMs: 10,
      maxUnansweredCommands: 100,
      logLevel: 'silent',
      metricsPort: 9464,
      metricsHost: '::',
      metricsQueues: 0,
      tracesUrl: 'https://collector:4318/v1/traces',
      tracesRatio: 0.25,
    });
  });

  it('treats an empty variable as not set', () => {
    const empty = Object.fromEntries(SETTING_NAMES.map((name) => [name, '']));
    expect(loadConfig(empty)).to.deep.equal(DEFAULTS);
    expect(loadConfig({ AIZUMI_NO_SUCH_THING: '' })).to.deep.equal(DEFAULTS);
  });

  it("makes data folders absolute, so that a later change of the process's folder does not matter", () =>
    expect(loadConfig({ AIZUMI_DATA_DIR: 'here' }).dataDir).to.equal(resolve('here')));

  it('runs as many workers as there are cores on request', () =>
    expect(loadConfig({ AIZUMI_WORKERS: 'auto' }).workers).to.equal(availableParallelism()));

  for (const url of [
    'redis://h',
    'redis://:secret@h:1',
    'rediss://h/3',
    'redis://[::1]:6379',
    'unix:///run/redis.sock',
    'redis+sentinel://h1:26379,h2/mymaster?db=1',
    'rediss+cluster://user:secret@h1,[::1]:7000',
  ])
    it(`accepts the Redis URL ${url}`, () => expect(loadConfig({ AIZUMI_REDIS_URL: url }).redisUrl).to.equal(url));

  it('is frozen', () => {
    const config = loadConfig({}) as { port: number };
    expect(() => (config.port = 1)).to.throw(TypeError);
  });

  it('ignores variables without its prefix', () => {
    const env = {
      PATH: '/bin',
      PORT: 'x',
      AIZUMIPORT: 'x',
      aizumi_port: 'x',
      AIZUMI_TEST_SPEED: '1',
      AIZUMI_TOOL_X: '1',
    };
    expect(loadConfig(env)).to.deep.equal(DEFAULTS);
  });

  const bad: Record<string, string[]> = {
    AIZUMI_PORT: ['-1', '65536', '80.5', 'http', '0x50'],
    AIZUMI_ALLOW_ANONYMOUS: ['yes', '1', 'TRUE', 'on'],
    AIZUMI_JWT_JWKS_URL: [
      'issuer.example/jwks.json',
      'file:///jwks.json',
      'https://user:secret@issuer.example/',
      'https://',
    ],
    AIZUMI_WORKERS: ['0', '-1', '1025', '1.5', 'all', 'AUTO'],
    AIZUMI_PROBE_PORT: ['0', '65536', 'http'],
    AIZUMI_TLS_CERT_FILE: ['/nowhere', '.'],
    AIZUMI_TLS_KEY_FILE: ['/nowhere', '.'],
    AIZUMI_TLS_CLIENT_CA_FILE: ['/nowhere', '.'],
    AIZUMI_REDIS_PASSWORD_FILE: ['/nowhere', '.'],
    AIZUMI_REDIS_CA_FILE: ['/nowhere', '.'],
    AIZUMI_REDIS_CERT_FILE: ['/nowhere', '.'],
    AIZUMI_REDIS_KEY_FILE: ['/nowhere', '.'],
    AIZUMI_BROKER_ID: ['-1', '4294967296', '0.5', 'me'],
    AIZUMI_REDIS_URL: BAD_REDIS_URLS,
    AIZUMI_KEY_PREFIX: ['{a}', 'a b', 'あ', 'x'.repeat(65), 'a*'],
    AIZUMI_DURABILITY: ['none', 'PRIMARY', 'majority'],
    AIZUMI_DURABILITY_TIMEOUT_MS: ['99', '60001', '1s'],
    AIZUMI_REPLICATION_NODES: ['0', '101', '2.5', 'auto'],
    AIZUMI_REPLICA_MAX_LAG_MS: ['1000', '1999', '600001', '3s'],
    AIZUMI_DRAIN_DELAY_MS: ['-1', '60001', '2s', '0.5'],
    AIZUMI_DEDUP_WINDOW_MS: ['999', '86400001', '5m', '1000.5'],
    AIZUMI_VISIBILITY_TIMEOUT_MS: ['-1', '43200001', '30s', '0.5'],
    AIZUMI_MAX_DELIVERIES: ['0', '1000001', 'many'],
    AIZUMI_MAX_QUEUE_LENGTH: ['0', '-1', '1.5', 'Infinity'],
    AIZUMI_MAX_QUEUE_BYTES: ['0', '65535', '1GB'],
    AIZUMI_MAX_CLIENT_QUEUES: ['0', '1.5', 'all'],
    AIZUMI_MAX_CLIENT_BYTES: ['0', '65535', '1GB'],
    AIZUMI_MAX_BODY_BYTES: ['0', '1023', '268435457', '1MB'],
    AIZUMI_MAX_BATCH: ['0', '100001', '1.5', 'all'],
    AIZUMI_MAX_REPLY_BYTES: ['65535', '268435457'],
    AIZUMI_MAX_BYTES_IN_FLIGHT: ['0', '1023', '1GB'],
    AIZUMI_MAX_WAITING_RECVS: ['0'],
    AIZUMI_MAX_CLIENT_WAITING_RECVS: ['0'],
    AIZUMI_MAX_CONNECTION_WAITING_RECVS: ['0'],
    AIZUMI_MAX_CONNECTIONS: ['0', '-1', 'all'],
    AIZUMI_MAX_CLIENT_REQUESTS_PER_S: ['0', '1.5', '1000001'],
    AIZUMI_MAX_ADDRESS_REQUESTS_PER_S: ['0', '1.5', '1000001'],
    AIZUMI_MAX_EVENT_LOOP_DELAY_MS: ['9', '60001', '1s'],
    AIZUMI_MAX_UNANSWERED_COMMANDS: ['99', '1e99', 'all'],
    AIZUMI_LOG_LEVEL: ['verbose', 'INFO'],
    AIZUMI_METRICS_PORT: ['-1', '65536', 'on'],
    AIZUMI_METRICS_QUEUES: ['-1', '1001', 'all'],
    AIZUMI_TRACES_URL: ['collector:4318', '4318', 'grpc://h:4317', 'http://user:secret@h', 'http://'],
    AIZUMI_TRACES_RATIO: ['-0.1', '1.1', '10%', 'all'],
  };
  for (const [name, values] of Object.entries(bad))
    it(`refuses an invalid ${name}, and names it`, () => {
      for (const value of values) {
        const lines = faults({ [name]: value });
        expect(lines, value).to.have.length(1);
        expect(lines[0]).to.match(new RegExp(`^${name} \\S`));
      }
    });

  it('names all invalid variables at once, with the rules that they break', () => {
    const env = { AIZUMI_PORT: 'http', AIZUMI_WORKERS: '0', AIZUMI_MAX_BODY_BYTES: '1', AIZUMI_LOG_LEVEL: 'loud' };
    expect(faults(env)).to.deep.equal([
      'AIZUMI_PORT must be a number',
      'AIZUMI_WORKERS must be greater than or equal to 1',
      'AIZUMI_MAX_BODY_BYTES must be greater than or equal to 1024',
      'AIZUMI_LOG_LEVEL must be one of [trace, debug, info, warn, error, fatal, silent]',
    ]);
    const allBad = Object.fromEntries(Object.entries(bad).map(([name, values]) => [name, values[0]!]));
    expect(faults(allBad).map((line) => line.split(' ')[0])).to.have.members(Object.keys(bad));
  });

  const FILE = 'package.json';
  const together: [string, Record<string, string>, string[]][] = [
    ['a certificate without a key', { AIZUMI_TLS_CERT_FILE: FILE }, ['AIZUMI_TLS_CERT_FILE needs AIZUMI_TLS_KEY_FILE']],
    ['a key without a certificate', { AIZUMI_TLS_KEY_FILE: FILE }, ['AIZUMI_TLS_KEY_FILE needs AIZUMI_TLS_CERT_FILE']],
    [
      'an authority of clients without TLS',
      { AIZUMI_TLS_CLIENT_CA_FILE: FILE },
      ['AIZUMI_TLS_CLIENT_CA_FILE needs AIZUMI_TLS_CERT_FILE'],
    ],
    [
      'a login for a Redis of its own',
      { AIZUMI_REDIS_USERNAME: 'me', AIZUMI_REDIS_PASSWORD_FILE: FILE, AIZUMI_REDIS_CA_FILE: FILE },
      ['REDIS_USERNAME', 'REDIS_PASSWORD_FILE', 'REDIS_CA_FILE'].map((name) => `AIZUMI_${name} needs AIZUMI_REDIS_URL`),
    ],
    [
      'certificates for a Redis without TLS',
      { AIZUMI_REDIS_URL: 'redis+cluster://h', AIZUMI_REDIS_CA_FILE: FILE },
      ['AIZUMI_REDIS_CA_FILE is for TLS: AIZUMI_REDIS_URL must start with rediss:// or rediss+'],
    ],
    ...['redis://me:sesame@h', 'redis+sentinel://me:sesame@h/m', 'rediss+cluster://me:sesame@h'].map(
      (url): [string, Record<string, string>, string[]] => [
        `a user and a password twice, for ${url.replace('sesame', '…')}`,
        { AIZUMI_REDIS_URL: url, AIZUMI_REDIS_USERNAME: 'me', AIZUMI_REDIS_PASSWORD_FILE: FILE },
        [
          'AIZUMI_REDIS_USERNAME and a user in AIZUMI_REDIS_URL: give one of them',
          'AIZUMI_REDIS_PASSWORD_FILE and a password in AIZUMI_REDIS_URL: give one of them',
        ],
      ],
    ),
  ];
  for (const [what, env, expected] of together)
    it(`refuses ${what}`, () => expect(faults(env)).to.deep.equal(expected));

  it('names all unknown variables with its prefix, together with the invalid ones', () => {
    const env = { AIZUMI_PORT: 'http', AIZUMI_PROT: '80', AIZUMI_port: '80', AIZUMI_constructor: 'x' };
    expect(faults(env)).to.have.members([
      'AIZUMI_PORT must be a number',
      'AIZUMI_PROT is not a setting of aizumi',
      'AIZUMI_port is not a setting of aizumi',
      'AIZUMI_constructor is not a setting of aizumi',
    ]);
  });

  it('names a variable that consists of the prefix only', () =>
    expect(faults({ AIZUMI_: 'x' })).to.deep.equal(['AIZUMI_ is not a setting of aizumi']));

  it('shows what a Redis URL looks like, but never a password', () => {
    const withPassword = [
      'http://user:secret@h',
      'redis://user:secret@',
      'redis://:secret@h:99999',
      'secret@h',
      'redis+cluster://:secret@h:99999',
    ];
    for (const url of [...BAD_REDIS_URLS, ...withPassword])
      expect(faults({ AIZUMI_REDIS_URL: url }), url).to.deep.equal([REDIS_URL_FAULT]);
  });

  // each of these would end the start with an error that names no variable, and the wrong exit code
  for (const url of [
    ' redis://h',
    'redis://:100%@h',
    'unix:///run/100%.sock',
    'redis+sentinel://:100%@h/mymaster',
    'redis+cluster://:100%@h',
  ])
    it(`refuses a Redis URL that the client cannot read: ${JSON.stringify(url)}`, () =>
      expect(faults({ AIZUMI_REDIS_URL: url })).to.deep.equal([REDIS_URL_FAULT]));

  for (const host of ['127.0.0.1', '127.1.2.3', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', 'localhost', 'LocalHost'])
    it(`needs no credentials on ${host}`, () => expect(loadConfig({ AIZUMI_HOST: host }).host).to.equal(host));

  const jwt = { AIZUMI_JWT_ISSUER: 'i', AIZUMI_JWT_AUDIENCE: 'a', AIZUMI_JWT_PUBLIC_KEY_FILE: '/pem' };
  for (const host of [
    '0.0.0.0',
    '::',
    '192.168.1.10',
    '128.0.0.1',
    'aizumi.example',
    '127.0.0.1.example',
    'localhost.example',
  ])
    it(`listens on ${host} only with credentials, or if anonymous access is explicitly allowed`, () => {
      const AIZUMI_HOST = host;
      const lines = faults({ AIZUMI_HOST });
      expect(lines).to.have.length(1);
      expect(lines[0]).to.match(
        /^AIZUMI_HOST is .*AIZUMI_API_KEYS_FILE .*AIZUMI_JWT_ISSUER .*AIZUMI_ALLOW_ANONYMOUS=true/,
      );
      expect(faults({ AIZUMI_HOST, AIZUMI_ALLOW_ANONYMOUS: 'false' })).to.have.length(1);
      for (const enough of [{ AIZUMI_ALLOW_ANONYMOUS: 'true' }, { AIZUMI_API_KEYS_FILE: '/keys' }, jwt])
        expect(faults({ AIZUMI_HOST, ...enough })).to.deep.equal([]);
    });

  it('requires all settings for tokens together, and their keys from a single source', () => {
    const { AIZUMI_JWT_ISSUER, AIZUMI_JWT_AUDIENCE, AIZUMI_JWT_PUBLIC_KEY_FILE } = jwt;
    const named = (env: Record<string, string>) => faults(env).map((line) => line.split(' ')[0]);
    expect(named({ AIZUMI_JWT_ISSUER })).to.deep.equal(['AIZUMI_JWT_AUDIENCE', 'AIZUMI_JWT_JWKS_URL']);
    expect(named({ AIZUMI_JWT_AUDIENCE })).to.deep.equal(['AIZUMI_JWT_ISSUER', 'AIZUMI_JWT_JWKS_URL']);
    expect(named({ AIZUMI_JWT_PUBLIC_KEY_FILE })).to.deep.equal(['AIZUMI_JWT_ISSUER', 'AIZUMI_JWT_AUDIENCE']);
    expect(named({ ...jwt, AIZUMI_JWT_JWKS_URL: 'https://i/' })).to.deep.equal(['AIZUMI_JWT_JWKS_URL']);
  });

  it('describes valid key prefixes', () => {
    for (const prefix of bad.AIZUMI_KEY_PREFIX!)
      expect(faults({ AIZUMI_KEY_PREFIX: prefix }), prefix).to.deep.equal([
        'AIZUMI_KEY_PREFIX must be 1 to 64 letters, digits, _ . : or -',
      ]);
  });
});
