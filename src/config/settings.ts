// Every AIZUMI_* variable: what it means, its unit, its default and what it may be.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import Joi from 'joi';
import { parseRedisAddress } from './redis-url.js';

/** Effective settings, by variable without AIZUMI_. Times are milliseconds, sizes bytes, unless the name says otherwise. undefined: not set. */
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

/** A setting's row in the table. The compiler names what a row lacks, and a row that is missing. */
interface Row<Name extends keyof Settings> {
  /** Its value where the variable is not set. */
  readonly default: Settings[Name] | (() => Settings[Name]);
  /** What README.md says of it: the test of documents compares. */
  readonly says: string;
}

interface NumberRow<Name extends keyof Settings> extends Row<Name> {
  readonly range: readonly [min: number, max: number];
  /** What may be given; without it an integer in the range. */
  readonly accepts?: (inRange: Joi.NumberSchema) => Joi.Schema;
}

interface OtherRow<Name extends keyof Settings> extends Row<Name> {
  /** What may be given, and what is made of it. */
  readonly accepts: Joi.Schema;
}

type SettingsTable = {
  readonly [Name in keyof Settings]: Settings[Name] extends number | undefined ? NumberRow<Name> : OtherRow<Name>;
};

const MAX_ADDRESS = 0xffff_ffff;
/** SQS's longest visibility timeout, 12 hours. */
const MAX_VISIBILITY_TIMEOUT_MS = 43_200_000;
/** Redis refuses a bulk string over 512 MiB (proto-max-bulk-len); V8's longest string is just under that. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;
/** More than any worker does. */
const MAX_PER_S = 1_000_000;

/** Absolute, so that it does not matter when the process's folder changes. */
const file = Joi.string().custom((path: string) => resolve(path));

export const SETTINGS: SettingsTable = {
  HOST: { default: '127.0.0.1', accepts: Joi.string(), says: 'address to listen on' },
  PORT: { default: 8080, range: [0, 65535], says: 'port to listen on; 0: any free one (the log names it)' },
  ALLOW_ANONYMOUS: {
    default: false,
    accepts: Joi.boolean().sensitive().messages({ '*': '{{#label}} must be true or false' }),
    says: '`true`: it may listen on other addresses than loopback without credentials, and accepts [any Host and Origin](docs/security.md#this-machine-alone)',
  },
  API_KEYS_FILE: {
    default: undefined,
    accepts: file,
    says: 'file of [API keys and their permissions](docs/security.md#api-keys); `npm run key` makes a key; changes take effect without a restart',
  },
  JWT_ISSUER: {
    default: undefined,
    accepts: Joi.string(),
    says: 'issuer whose [JSON Web Tokens](docs/security.md#json-web-tokens) are accepted',
  },
  JWT_AUDIENCE: { default: undefined, accepts: Joi.string(), says: 'audience that they must name' },
  JWT_JWKS_URL: {
    default: undefined,
    accepts: Joi.string()
      .pattern(/^https?:\/\/[^\s/@]+(\/[^\s@]*)?$/)
      .message('{{#label}} must be an address such as https://issuer.example/jwks.json, without a password in it'),
    says: "URL of the issuer's keys",
  },
  JWT_PUBLIC_KEY_FILE: { default: undefined, accepts: file, says: 'or a file with its public key, in PEM' },
  WORKERS: {
    default: 1,
    range: [1, 1024],
    accepts: (count) =>
      Joi.alternatives().conditional(Joi.valid('auto'), {
        then: Joi.any().custom(() => availableParallelism()),
        otherwise: count.integer(),
      }),
    says: 'processes on that port; `auto`: one per core',
  },
  DRAIN_DELAY_MS: {
    default: 0,
    range: [0, 60_000],
    says: 'after a signal to stop, a worker goes on serving for so long while `GET /readyz` returns 503: set it longer than a balancer takes to notice',
  },
  // replies announce whole seconds
  KEEP_ALIVE_MS: {
    default: 65_000,
    range: [1_000, 3_600_000],
    says: 'how long an idle connection is kept: longer than [the balancer in front](docs/operations.md#idle-connections-and-balancers) keeps it',
  },
  PROBE_PORT: {
    default: undefined,
    range: [1, 65535],
    says: 'port for `GET /livez` and `GET /readyz` alone, plain HTTP; they are on AIZUMI_PORT too',
  },
  TLS_CERT_FILE: {
    default: undefined,
    accepts: readableFile(),
    says: 'certificate of TLS for clients, PEM; not set: plain HTTP ([docs/tls.md](docs/tls.md))',
  },
  TLS_KEY_FILE: { default: undefined, accepts: readableFile(), says: 'its key' },
  TLS_CLIENT_CA_FILE: {
    default: undefined,
    accepts: readableFile(),
    says: 'certificate authorities for the client certificates that are required; not set: clients need none',
  },
  BROKER_ID: { default: 5000, range: [0, MAX_ADDRESS], says: "the broker's own address, shown by STAT" },
  REDIS_URL: {
    default: undefined,
    accepts: Joi.string().custom(checkRedisUrl),
    says: 'where Redis is, see below; not set: aizumi starts a Redis of its own',
  },
  REDIS_USERNAME: { default: undefined, accepts: Joi.string(), says: 'user of Redis, if it is not in the URL' },
  REDIS_PASSWORD_FILE: {
    default: undefined,
    accepts: readableFile(),
    says: 'file with its password, read again with each connection',
  },
  REDIS_CA_FILE: {
    default: undefined,
    accepts: readableFile(),
    says: 'certificate authorities for the TLS of Redis; not set: those of Node',
  },
  REDIS_CERT_FILE: { default: undefined, accepts: readableFile(), says: 'certificate that aizumi shows to Redis' },
  REDIS_KEY_FILE: { default: undefined, accepts: readableFile(), says: 'its key' },
  REDIS_SERVER: {
    default: undefined,
    accepts: Joi.string(),
    says: 'program of its own Redis; not set: `redis-server` or `valkey-server` from the PATH',
  },
  DATA_DIR: {
    default: () => resolve('data'),
    accepts: Joi.string().custom((folder: string) => resolve(folder)),
    says: 'folder of its own Redis',
  },
  // braces would become the hash tag and put every queue into one Cluster slot
  KEY_PREFIX: {
    default: 'aizumi',
    accepts: Joi.string()
      .pattern(/^[\w.:-]{1,64}$/)
      .message('{{#label}} must be 1 to 64 letters, digits, _ . : or -'),
    says: 'start of all key names, to share a Redis with others',
  },
  DURABILITY: {
    default: 'primary',
    accepts: Joi.valid('primary', 'quorum', 'all'),
    says: 'durability of a SEND that does not ask for one. It is answered when: `primary`, the Redis primary has it; `quorum`, a majority of its nodes; `all`, every replica that is in sync has it',
  },
  DURABILITY_TIMEOUT_MS: {
    default: 1_000,
    range: [100, 60_000],
    says: 'a SEND at `quorum` or `all` that is not confirmed by then is answered 503',
  },
  REPLICATION_NODES: {
    default: undefined,
    range: [1, 100],
    says: 'number of nodes of a primary: itself and its replicas, dead ones included; not set: found out',
  },
  // replicas confirm once a second, and Redis counts whole seconds
  REPLICA_MAX_LAG_MS: {
    default: 3_000,
    range: [2_000, 600_000],
    says: 'a replica that has not reported for so long is not in sync',
  },
  DEDUP_WINDOW_MS: {
    default: 300_000,
    range: [1_000, 86_400_000],
    says: 'how long a message sent with `dedup` is remembered after its end',
  },
  VISIBILITY_TIMEOUT_MS: {
    default: 30_000,
    range: [0, MAX_VISIBILITY_TIMEOUT_MS],
    says: 'how long a received message is leased',
  },
  MAX_DELIVERIES: {
    default: 20,
    range: [1, 1_000_000],
    says: 'a message delivered this many times and never freed is moved to the dead-letter stream',
  },
  MAX_QUEUE_LENGTH: {
    default: 1_000_000,
    range: [1, Infinity],
    says: 'messages that a queue may hold, waiting, leased and delayed',
  },
  // a queue of one message takes 5 KB: less would be no limit but an end
  MAX_QUEUE_BYTES: {
    default: 1_073_741_824,
    range: [65_536, Infinity],
    says: 'bytes that a queue may take in Redis, dead messages included',
  },
  MAX_CLIENT_QUEUES: {
    default: 20_000,
    range: [1, Infinity],
    says: 'queues that one client may have made ([docs/limits.md](docs/limits.md))',
  },
  MAX_CLIENT_BYTES: {
    default: 1_073_741_824,
    range: [65_536, Infinity],
    says: 'bytes that one client may have stored through a worker',
  },
  MAX_BODY_BYTES: { default: 1_048_576, range: [1024, MAX_BODY_BYTES], says: 'largest request body' },
  MAX_BATCH: { default: 1_000, range: [1, 100_000], says: 'most requests in one body' },
  // 16 of the largest messages; in pieces, joined and on its way a reply takes four times as much for a moment
  MAX_REPLY_BYTES: {
    default: 16_777_216,
    range: [65_536, MAX_BODY_BYTES],
    says: 'bytes of the messages in the reply to one batch',
  },
  MAX_BYTES_IN_FLIGHT: {
    default: undefined,
    range: [1024, Infinity],
    says: "memory of a worker for what its clients make it hold ([docs/limits.md](docs/limits.md)); not set: 0.4 of the smaller of V8's heap limit and the container's memory",
  },
  MAX_WAITING_RECVS: { default: 20_000, range: [1, Infinity], says: 'RECVs that wait at one worker' },
  // without credentials a client is a machine: all behind a balancer are one
  MAX_CLIENT_WAITING_RECVS: { default: 10_000, range: [1, Infinity], says: '… of one client' },
  // as many as a batch holds
  MAX_CONNECTION_WAITING_RECVS: { default: 1_000, range: [1, Infinity], says: '… on one connection' },
  MAX_CONNECTIONS: { default: undefined, range: [1, Infinity], says: 'open connections of a worker' },
  MAX_CLIENT_REQUESTS_PER_S: {
    default: undefined,
    range: [1, MAX_PER_S],
    says: 'requests a second of one client to a worker',
  },
  MAX_ADDRESS_REQUESTS_PER_S: {
    default: undefined,
    range: [1, MAX_PER_S],
    says: 'requests a second from one address (saddr) to a worker',
  },
  MAX_EVENT_LOOP_DELAY_MS: {
    default: undefined,
    range: [10, 60_000],
    says: 'a worker whose event loop is delayed longer refuses SENDs, and at twice this delay all requests',
  },
  MAX_UNANSWERED_COMMANDS: {
    default: undefined,
    range: [100, Infinity],
    says: 'the same limits for the number of commands that Redis has not answered',
  },
  LOG_LEVEL: {
    default: 'info',
    accepts: Joi.valid('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    says: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`; SIGUSR2 changes it to `debug` and back',
  },
  METRICS_PORT: {
    default: undefined,
    range: [0, 65535],
    says: 'port of `GET /metrics`, for Prometheus; 0: any free one (the log names it); not set: nothing is counted',
  },
  METRICS_HOST: { default: '127.0.0.1', accepts: Joi.string(), says: 'address to listen on for scrapers' },
  METRICS_QUEUES: {
    default: 20,
    range: [0, 1_000],
    says: 'queues that have metrics of their own, those that hold the most',
  },
  TRACES_URL: {
    default: undefined,
    accepts: Joi.string().custom(checkTracesUrl),
    says: 'OTLP/HTTP receiver of [traces](docs/operations.md#traces), such as `http://collector:4318`; not set: none are made',
  },
  TRACES_RATIO: {
    default: 1,
    range: [0, 1],
    accepts: (ratio) => ratio,
    says: 'fraction of the traces that begin at aizumi that are kept, 0 … 1',
  },
};

/** The schema of a variable: what its row says. */
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

/** It is logged at the start: no secrets in it. */
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

/** Its name; absolute. What must be in it is checked where it is used. */
function readableFile(): Joi.StringSchema {
  return Joi.string().custom((file: string) => {
    readFileSync(file);
    return resolve(file);
  });
}
