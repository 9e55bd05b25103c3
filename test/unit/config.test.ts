import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { expect } from 'chai';
import { ConfigError, SETTING_NAMES, loadConfig } from '../../src/config.js';

const DEFAULTS = {
  host: '127.0.0.1',
  port: 8080,
  workers: 1,
  brokerId: 5000,
  redisUrl: undefined,
  redisServer: undefined,
  dataDir: resolve('data'),
  keyPrefix: 'aizumi',
  durability: 'primary',
  durabilityTimeoutMs: 1_000,
  replicationNodes: undefined,
  replicaMaxLagMs: 3_000,
  dedupWindowMs: 300_000,
  visibilityTimeoutMs: 30_000,
  maxDeliveries: 20,
  maxQueueLength: 1_000_000,
  maxBodyBytes: 1_048_576,
  maxBatch: 1_000,
  logLevel: 'info',
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

/** What is wrong with `env`, one line for each variable. */
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
      AIZUMI_WORKERS: '4',
      AIZUMI_BROKER_ID: '4294967295',
      AIZUMI_REDIS_URL: 'rediss://user:secret@redis.example:6380/2',
      AIZUMI_REDIS_SERVER: '/usr/bin/valkey-server',
      AIZUMI_DATA_DIR: '/var/lib/aizumi',
      AIZUMI_KEY_PREFIX: 'my.app-1:mq',
      AIZUMI_DURABILITY: 'quorum',
      AIZUMI_DURABILITY_TIMEOUT_MS: '100',
      AIZUMI_REPLICATION_NODES: '5',
      AIZUMI_REPLICA_MAX_LAG_MS: '600000',
      AIZUMI_DEDUP_WINDOW_MS: '86400000',
      AIZUMI_VISIBILITY_TIMEOUT_MS: '0',
      AIZUMI_MAX_DELIVERIES: '1',
      AIZUMI_MAX_QUEUE_LENGTH: '1',
      AIZUMI_MAX_BODY_BYTES: '1024',
      AIZUMI_MAX_BATCH: '1',
      AIZUMI_LOG_LEVEL: 'silent',
      AIZUMI_TRACES_URL: 'https://collector:4318/v1/traces',
      AIZUMI_TRACES_RATIO: '0.25',
    };
    expect(Object.keys(env).sort(), 'a setting is missing in this test').to.deep.equal([...SETTING_NAMES].sort());
    expect(loadConfig(env)).to.deep.equal({
      host: '0.0.0.0',
      port: 0,
      workers: 4,
      brokerId: 4294967295,
      redisUrl: 'rediss://user:secret@redis.example:6380/2',
      redisServer: '/usr/bin/valkey-server',
      dataDir: '/var/lib/aizumi',
      keyPrefix: 'my.app-1:mq',
      durability: 'quorum',
      durabilityTimeoutMs: 100,
      replicationNodes: 5,
      replicaMaxLagMs: 600_000,
      dedupWindowMs: 86_400_000,
      visibilityTimeoutMs: 0,
      maxDeliveries: 1,
      maxQueueLength: 1,
      maxBodyBytes: 1024,
      maxBatch: 1,
      logLevel: 'silent',
      tracesUrl: 'https://collector:4318/v1/traces',
      tracesRatio: 0.25,
    });
  });

  it('takes an empty variable as not set', () => {
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
    it(`takes the Redis URL ${url}`, () => expect(loadConfig({ AIZUMI_REDIS_URL: url }).redisUrl).to.equal(url));

  it('is frozen', () => {
    const config = loadConfig({}) as { port: number };
    expect(() => (config.port = 1)).to.throw(TypeError);
  });

  it('does not look at variables that are not its own', () => {
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
    AIZUMI_WORKERS: ['0', '-1', '1025', '1.5', 'all', 'AUTO'],
    AIZUMI_BROKER_ID: ['-1', '4294967296', '0.5', 'me'],
    AIZUMI_REDIS_URL: BAD_REDIS_URLS,
    AIZUMI_KEY_PREFIX: ['{a}', 'a b', 'あ', 'x'.repeat(65), 'a*'],
    AIZUMI_DURABILITY: ['none', 'PRIMARY', 'majority'],
    AIZUMI_DURABILITY_TIMEOUT_MS: ['99', '60001', '1s'],
    AIZUMI_REPLICATION_NODES: ['0', '101', '2.5', 'auto'],
    AIZUMI_REPLICA_MAX_LAG_MS: ['1000', '1999', '600001', '3s'],
    AIZUMI_DEDUP_WINDOW_MS: ['999', '86400001', '5m', '1000.5'],
    AIZUMI_VISIBILITY_TIMEOUT_MS: ['-1', '43200001', '30s', '0.5'],
    AIZUMI_MAX_DELIVERIES: ['0', '1000001', 'many'],
    AIZUMI_MAX_QUEUE_LENGTH: ['0', '-1', '1.5', 'Infinity'],
    AIZUMI_MAX_BODY_BYTES: ['0', '1023', '268435457', '1MB'],
    AIZUMI_MAX_BATCH: ['0', '100001', '1.5', 'all'],
    AIZUMI_LOG_LEVEL: ['verbose', 'INFO'],
    AIZUMI_TRACES_URL: ['collector:4318', '4318', 'grpc://h:4317', 'http://user:secret@h', 'http://'],
    AIZUMI_TRACES_RATIO: ['-0.1', '1.1', '10%', 'all'],
  };
  for (const [name, values] of Object.entries(bad))
    it(`refuses a bad ${name} by its name`, () => {
      for (const value of values) {
        const lines = faults({ [name]: value });
        expect(lines, value).to.have.length(1);
        expect(lines[0]).to.match(new RegExp(`^${name} \\S`));
      }
    });

  it('names every bad variable at once, with the rule that it breaks', () => {
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

  it('names every unknown variable of its own, along with the bad ones', () => {
    const env = { AIZUMI_PORT: 'http', AIZUMI_PROT: '80', AIZUMI_port: '80', AIZUMI_constructor: 'x' };
    expect(faults(env)).to.have.members([
      'AIZUMI_PORT must be a number',
      'AIZUMI_PROT is not a setting of aizumi',
      'AIZUMI_port is not a setting of aizumi',
      'AIZUMI_constructor is not a setting of aizumi',
    ]);
  });

  it('names a variable that is nothing but the prefix', () =>
    expect(faults({ AIZUMI_: 'x' })).to.deep.equal(['AIZUMI_ is not a setting of aizumi']));

  it('says what a Redis URL looks like, and never a password', () => {
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

  it('says what a key prefix may be', () => {
    for (const prefix of bad.AIZUMI_KEY_PREFIX!)
      expect(faults({ AIZUMI_KEY_PREFIX: prefix }), prefix).to.deep.equal([
        'AIZUMI_KEY_PREFIX must be 1 to 64 letters, digits, _ . : or -',
      ]);
  });
});
