// The table of all AIZUMI_* variables: meaning, unit, default and accepted values.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import Joi from 'joi';
import { MAX_ADDRESS, MAX_VISIBILITY_TIMEOUT_MS } from './limits.js';
import { parseRedisAddress } from './redis-url.js';

/**
 * The effective settings, under the names of their variables without AIZUMI_. Times are milliseconds and sizes bytes unless the
 * name has another unit. undefined: not set.
 */
export interface Settings {
  HOST: string;
  PORT: number;
  ALLOW_ANONYMOUS: boolean;
  API_KEYS_FILE: string | undefined;
  JWT_ISSUER: string | undefined;
  JWT_AUDIENCE: string | undefined;
  JWT_JWKS_URL: string | undefined;
  JWT_PUBLIC_KEY_FILE: string | undefined;
  WORKERS: number;
  DRAIN_DELAY_MS: number;
  KEEP_ALIVE_MS: number;
  PROBE_PORT: number | undefined;
  TLS_CERT_FILE: string | undefined;
  TLS_KEY_FILE: string | undefined;
  TLS_CLIENT_CA_FILE: string | undefined;
  BROKER_ID: number;
  REDIS_URL: string | undefined;
  REDIS_USERNAME: string | undefined;
  REDIS_PASSWORD_FILE: string | undefined;
  REDIS_CA_FILE: string | undefined;
  REDIS_CERT_FILE: string | undefined;
  REDIS_KEY_FILE: string | undefined;
  REDIS_SERVER: string | undefined;
  DATA_DIR: string;
  KEY_PREFIX: string;
  DURABILITY: 'primary' | 'quorum' | 'all';
  DURABILITY_TIMEOUT_MS: number;
  REPLICATION_NODES: number | undefined;
  REPLICA_MAX_LAG_MS: number;
  DEDUP_WINDOW_MS: number;
  VISIBILITY_TIMEOUT_MS: number;
  MAX_DELIVERIES: number;
  MAX_QUEUE_LENGTH: number;
  MAX_QUEUE_BYTES: number;
  MAX_CLIENT_QUEUES: number;
  MAX_CLIENT_BYTES: number;
  MAX_BODY_BYTES: number;
  MAX_BATCH: number;
  MAX_REPLY_BYTES: number;
  MAX_BYTES_IN_FLIGHT: number | undefined;
  MAX_WAITING_RECVS: number;
  MAX_CLIENT_WAITING_RECVS: number;
  MAX_CONNECTION_WAITING_RECVS: number;
  MAX_CONNECTIONS: number | undefined;
  MAX_CLIENT_REQUESTS_PER_S: number | undefined;
  MAX_ADDRESS_REQUESTS_PER_S: number | undefined;
  MAX_EVENT_LOOP_DELAY_MS: number | undefined;
  MAX_UNANSWERED_COMMANDS: number | undefined;
  LOG_LEVEL: string;
  METRICS_PORT: number | undefined;
  METRICS_HOST: string;
  METRICS_QUEUES: number;
  TRACES_URL: string | undefined;
  TRACES_RATIO: number;
}

/** A setting's row in the table. The compiler names a missing row, and what a row lacks. */
interface Row<Name extends keyof Settings> {
  /** The value if the variable is not set. */
  readonly default: Settings[Name] | (() => Settings[Name]);
  /** Its meaning in docs/settings.md; the test of documents compares them. */
  readonly meaning: string;
}

interface NumberRow<Name extends keyof Settings> extends Row<Name> {
  readonly range: readonly [min: number, max: number];
  /** The accepted values; by default integers in the range. */
  readonly accepts?: (inRange: Joi.NumberSchema) => Joi.Schema;
}

interface OtherRow<Name extends keyof Settings> extends Row<Name> {
  /** The accepted values, and their conversion. */
  readonly accepts: Joi.Schema;
}

type SettingsTable = {
  readonly [Name in keyof Settings]: Settings[Name] extends number | undefined ? NumberRow<Name> : OtherRow<Name>;
};

/** Redis refuses a bulk string over 512 MiB (proto-max-bulk-len); V8's longest string is just under that. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;
/** More than any worker can serve. */
const MAX_PER_S = 1_000_000;

/** An absolute path, so that a change of the process's folder does not matter. */
const file = Joi.string().custom((path: string) => resolve(path));

export const SETTINGS: SettingsTable = {
  HOST: { default: '127.0.0.1', accepts: Joi.string(), meaning: 'address to listen on' },
  PORT: { default: 8080, range: [0, 65535], meaning: 'port to listen on; 0: any free port, which the log names' },
  ALLOW_ANONYMOUS: {
    default: false,
    accepts: Joi.boolean().sensitive().messages({ '*': '{{#label}} must be true or false' }),
    meaning:
      '`true`: listen beyond loopback without asking clients for credentials, and accept [any Host and Origin](security.md#this-machine-alone)',
  },
  API_KEYS_FILE: {
    default: undefined,
    accepts: file,
    meaning:
      'file of [API keys and their permissions](security.md#api-keys), reloaded when it changes; `npm run key` makes a key',
  },
  JWT_ISSUER: {
    default: undefined,
    accepts: Joi.string(),
    meaning: 'issuer whose [JSON Web Tokens](security.md#json-web-tokens) are accepted',
  },
  JWT_AUDIENCE: { default: undefined, accepts: Joi.string(), meaning: 'audience that the tokens must name' },
  JWT_JWKS_URL: {
    default: undefined,
    accepts: Joi.string()
      .pattern(/^https?:\/\/[^\s/@]+(\/[^\s@]*)?$/)
      .message('{{#label}} must be an address such as https://issuer.example/jwks.json, without a password in it'),
    meaning: "URL of the issuer's keys",
  },
  JWT_PUBLIC_KEY_FILE: {
    default: undefined,
    accepts: file,
    meaning: "the issuer's public key in PEM, instead of AIZUMI_JWT_JWKS_URL",
  },
  WORKERS: {
    default: 1,
    range: [1, 1024],
    accepts: (count) =>
      Joi.alternatives().conditional(Joi.valid('auto'), {
        then: Joi.any().custom(() => availableParallelism()),
        otherwise: count.integer(),
      }),
    meaning: 'worker processes on that port; `auto`: one per core',
  },
  DRAIN_DELAY_MS: {
    default: 0,
    range: [0, 60_000],
    meaning:
      'how long a worker that was told to stop keeps serving while `GET /readyz` returns 503; set it longer than the balancer takes to notice',
  },
  // replies announce whole seconds
  KEEP_ALIVE_MS: {
    default: 65_000,
    range: [1_000, 3_600_000],
    meaning:
      'how long an idle connection stays open; set it longer than [the balancer in front](operations.md#idle-connections-and-balancers) keeps it',
  },
  PROBE_PORT: {
    default: undefined,
    range: [1, 65535],
    meaning: 'extra port for `GET /livez` and `GET /readyz` only, plain HTTP; both are on AIZUMI_PORT too',
  },
  TLS_CERT_FILE: {
    default: undefined,
    accepts: readableFile(),
    meaning: 'TLS certificate for clients, PEM; not set: plain HTTP ([TLS](tls.md))',
  },
  TLS_KEY_FILE: { default: undefined, accepts: readableFile(), meaning: 'private key of AIZUMI_TLS_CERT_FILE' },
  TLS_CLIENT_CA_FILE: {
    default: undefined,
    accepts: readableFile(),
    meaning: 'certificate authorities that must have signed the certificates of clients; not set: clients need none',
  },
  BROKER_ID: { default: 5000, range: [0, MAX_ADDRESS], meaning: "the broker's own address, shown by STAT" },
  REDIS_URL: {
    default: undefined,
    accepts: Joi.string().custom(checkRedisUrl),
    meaning: '[where Redis is](#redis-url); not set: aizumi starts an embedded Redis',
  },
  REDIS_USERNAME: { default: undefined, accepts: Joi.string(), meaning: 'Redis user, if it is not in the URL' },
  REDIS_PASSWORD_FILE: {
    default: undefined,
    accepts: readableFile(),
    meaning: "file with the Redis user's password, read again for each connection",
  },
  REDIS_CA_FILE: {
    default: undefined,
    accepts: readableFile(),
    meaning: 'certificate authorities for a Redis with TLS; not set: those that Node.js trusts',
  },
  REDIS_CERT_FILE: { default: undefined, accepts: readableFile(), meaning: 'certificate that aizumi shows to Redis' },
  REDIS_KEY_FILE: { default: undefined, accepts: readableFile(), meaning: 'private key of AIZUMI_REDIS_CERT_FILE' },
  REDIS_SERVER: {
    default: undefined,
    accepts: Joi.string(),
    meaning: 'program of the embedded Redis; not set: `redis-server` or `valkey-server` from the PATH',
  },
  DATA_DIR: {
    default: () => resolve('data'),
    accepts: Joi.string().custom((folder: string) => resolve(folder)),
    meaning: 'data folder of the embedded Redis',
  },
  // braces would become the hash tag and put every queue into one Cluster slot
  KEY_PREFIX: {
    default: 'aizumi',
    accepts: Joi.string()
      .pattern(/^[\w.:-]{1,64}$/)
      .message('{{#label}} must be 1 to 64 letters, digits, _ . : or -'),
    meaning: 'start of all key names, for a Redis that is shared with others',
  },
  DURABILITY: {
    default: 'primary',
    accepts: Joi.valid('primary', 'quorum', 'all'),
    meaning:
      'who must have a message before a SEND without `durability` is answered: `primary`, the Redis primary; `quorum`, a majority of its nodes; `all`, every replica in sync',
  },
  DURABILITY_TIMEOUT_MS: {
    default: 1_000,
    range: [100, 60_000],
    meaning: 'a SEND at `quorum` or `all` that is not confirmed in this time is answered 503',
  },
  REPLICATION_NODES: {
    default: undefined,
    range: [1, 100],
    meaning: 'nodes of a primary: itself and its replicas, dead ones included; not set: discovered',
  },
  // replicas confirm once a second, and Redis counts whole seconds
  REPLICA_MAX_LAG_MS: {
    default: 3_000,
    range: [2_000, 600_000],
    meaning: 'a replica that was silent for this long is not in sync',
  },
  DEDUP_WINDOW_MS: {
    default: 300_000,
    range: [1_000, 86_400_000],
    meaning: 'how long a message sent with `dedup` is remembered after it ended',
  },
  VISIBILITY_TIMEOUT_MS: {
    default: 30_000,
    range: [0, MAX_VISIBILITY_TIMEOUT_MS],
    meaning: 'how long a received message is leased',
  },
  MAX_DELIVERIES: {
    default: 20,
    range: [1, 1_000_000],
    meaning: 'a message that was delivered this often and never freed is dead-lettered',
  },
  MAX_QUEUE_LENGTH: {
    default: 1_000_000,
    range: [1, Infinity],
    meaning: 'messages in a queue: waiting, leased and delayed',
  },
  // a queue of one message takes 5 KB: a much smaller limit would refuse every SEND
  MAX_QUEUE_BYTES: {
    default: 1_073_741_824,
    range: [65_536, Infinity],
    meaning: 'bytes of a queue in Redis, dead messages included',
  },
  MAX_CLIENT_QUEUES: {
    default: 20_000,
    range: [1, Infinity],
    meaning: 'queues that one client has created ([limits](limits.md))',
  },
  MAX_CLIENT_BYTES: {
    default: 1_073_741_824,
    range: [65_536, Infinity],
    meaning: 'bytes that one client has stored through a worker',
  },
  MAX_BODY_BYTES: { default: 1_048_576, range: [1024, MAX_BODY_BYTES], meaning: 'largest request body' },
  MAX_BATCH: { default: 1_000, range: [1, 100_000], meaning: 'requests in one body' },
  // 16 of the largest messages; while it is joined and sent, a reply takes up to four times its size for a moment
  MAX_REPLY_BYTES: {
    default: 16_777_216,
    range: [65_536, MAX_BODY_BYTES],
    meaning: 'bytes of the messages in the reply to one batch',
  },
  MAX_BYTES_IN_FLIGHT: {
    default: undefined,
    range: [1024, Infinity],
    meaning:
      "memory that clients may make a worker hold ([limits](limits.md)); not set: 0.4 of the smaller of V8's heap limit and the container's memory",
  },
  MAX_WAITING_RECVS: { default: 20_000, range: [1, Infinity], meaning: 'waiters (RECVs with `wait_ms`) of a worker' },
  // without credentials a client is an IP address, so all clients behind a balancer count as one
  MAX_CLIENT_WAITING_RECVS: { default: 10_000, range: [1, Infinity], meaning: 'waiters of one client at a worker' },
  // as many as a batch holds
  MAX_CONNECTION_WAITING_RECVS: { default: 1_000, range: [1, Infinity], meaning: 'waiters on one connection' },
  MAX_CONNECTIONS: { default: undefined, range: [1, Infinity], meaning: 'open connections of a worker' },
  MAX_CLIENT_REQUESTS_PER_S: {
    default: undefined,
    range: [1, MAX_PER_S],
    meaning: 'requests per second from one client to a worker',
  },
  MAX_ADDRESS_REQUESTS_PER_S: {
    default: undefined,
    range: [1, MAX_PER_S],
    meaning: 'requests per second from one address (`saddr`) to a worker',
  },
  MAX_EVENT_LOOP_DELAY_MS: {
    default: undefined,
    range: [10, 60_000],
    meaning: 'event loop delay above which a worker refuses SENDs; above twice this it refuses everything',
  },
  MAX_UNANSWERED_COMMANDS: {
    default: undefined,
    range: [100, Infinity],
    meaning: 'the same for the number of commands that Redis has not answered',
  },
  LOG_LEVEL: {
    default: 'info',
    accepts: Joi.valid('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    meaning: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`; SIGUSR2 switches to `debug` and back',
  },
  METRICS_PORT: {
    default: undefined,
    range: [0, 65535],
    meaning:
      'port of `GET /metrics`, for Prometheus; 0: any free port, which the log names; not set: nothing is counted',
  },
  METRICS_HOST: { default: '127.0.0.1', accepts: Joi.string(), meaning: 'address that the metrics port listens on' },
  METRICS_QUEUES: {
    default: 20,
    range: [0, 1_000],
    meaning: 'queues with metrics of their own: those that hold the most',
  },
  TRACES_URL: {
    default: undefined,
    accepts: Joi.string().custom(checkTracesUrl),
    meaning:
      'OTLP/HTTP receiver of [traces](operations.md#traces), such as `http://collector:4318`; not set: no traces are made',
  },
  TRACES_RATIO: {
    default: 1,
    range: [0, 1],
    accepts: (ratio) => ratio,
    meaning: 'part of the traces begun here that is kept, 0 … 1',
  },
};

/** The Joi schema of a variable, from its row. */
export function schemaOf(name: keyof Settings): Joi.Schema {
  const row: NumberRow<keyof Settings> | OtherRow<keyof Settings> = SETTINGS[name];
  const schema = 'range' in row ? numberOf(row) : row.accepts;
  return row.default === undefined ? schema : schema.default(row.default);
}

function numberOf({
  range: [min, max],
  accepts = (inRange) => inRange.integer(),
}: NumberRow<keyof Settings>): Joi.Schema {
  const atLeast = Joi.number().min(min);
  return accepts(max === Infinity ? atLeast : atLeast.max(max));
}

/** The URL is logged at the start, so it must not hold secrets. */
function checkTracesUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new Error('must be an http:// or https:// URL, such as http://collector:4318');
  if (url.username !== '' || url.password !== '')
    throw new Error('must not have a password in it: use OTEL_EXPORTER_OTLP_HEADERS');
  return value;
}

function checkRedisUrl(value: string): string {
  parseRedisAddress(value);
  return value;
}

/** The absolute path of a file that can be read. Its contents are checked where they are used. */
function readableFile(): Joi.StringSchema {
  return Joi.string().custom((file: string) => {
    readFileSync(file);
    return resolve(file);
  });
}
