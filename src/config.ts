// First stop of the process: AIZUMI_* environment variables → one frozen Config, or every fault named at once.
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import Joi from 'joi';
import { parseRedisAddress } from './redis-address.js';

/** Effective settings. Times are milliseconds, sizes bytes, unless the name says otherwise. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly workers: number;
  readonly brokerId: number;
  /** Where Redis is; undefined: aizumi starts its own (the embedded Redis). */
  readonly redisUrl: string | undefined;
  /** Program of the embedded Redis; undefined: redis-server or valkey-server from the PATH. */
  readonly redisServer: string | undefined;
  readonly dataDir: string;
  readonly keyPrefix: string;
  /** When a SEND is answered that does not say so itself. */
  readonly durability: 'primary' | 'quorum' | 'all';
  readonly durabilityTimeoutMs: number;
  /** Nodes of each primary's deployment, itself included; undefined: found out from Sentinel, Cluster or the primary. */
  readonly replicationNodes: number | undefined;
  readonly replicaMaxLagMs: number;
  readonly dedupWindowMs: number;
  readonly visibilityTimeoutMs: number;
  readonly maxDeliveries: number;
  readonly maxQueueLength: number;
  readonly maxBodyBytes: number;
  /** Requests in one body. */
  readonly maxBatch: number;
  readonly logLevel: string;
}

const MAX_ADDRESS = 0xffff_ffff;
/** SQS's longest visibility timeout, 12 hours. */
const MAX_VISIBILITY_TIMEOUT_MS = 43_200_000;
/** Redis refuses a bulk string over 512 MiB (proto-max-bulk-len); V8's longest string is just under that. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;

const PREFIX = 'AIZUMI_';
/** The tests' and the development tools' own variables: not settings of the broker. */
const NOT_SETTINGS = /^AIZUMI_(TEST|TOOL)_/;

interface Settings {
  HOST: string;
  PORT: number;
  WORKERS: number | 'auto';
  BROKER_ID: number;
  REDIS_URL: string | undefined;
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
  MAX_BODY_BYTES: number;
  MAX_BATCH: number;
  LOG_LEVEL: string;
}

const settings: Joi.PartialSchemaMap<Settings> = {
  HOST: Joi.string().default('127.0.0.1'),
  PORT: Joi.number().integer().min(0).max(65535).default(8080),
  WORKERS: Joi.alternatives(Joi.number().integer().min(1).max(1024), Joi.valid('auto')).default(1),
  BROKER_ID: Joi.number().integer().min(0).max(MAX_ADDRESS).default(5000),
  REDIS_URL: Joi.string().custom(checkRedisUrl),
  REDIS_SERVER: Joi.string(),
  DATA_DIR: Joi.string().default('./data'),
  // braces would become the hash tag and put every queue into one Cluster slot
  KEY_PREFIX: Joi.string()
    .pattern(/^[\w.:-]{1,64}$/)
    .message('{{#label}} must be 1 to 64 letters, digits, _ . : or -')
    .default('aizumi'),
  DURABILITY: Joi.valid('primary', 'quorum', 'all').default('primary'),
  DURABILITY_TIMEOUT_MS: Joi.number().integer().min(100).max(60_000).default(1_000),
  REPLICATION_NODES: Joi.number().integer().min(1).max(100),
  // replicas confirm once a second, and Redis counts whole seconds
  REPLICA_MAX_LAG_MS: Joi.number().integer().min(2_000).max(600_000).default(3_000),
  DEDUP_WINDOW_MS: Joi.number().integer().min(1_000).max(86_400_000).default(300_000),
  VISIBILITY_TIMEOUT_MS: Joi.number().integer().min(0).max(MAX_VISIBILITY_TIMEOUT_MS).default(30_000),
  MAX_DELIVERIES: Joi.number().integer().min(1).max(1_000_000).default(20),
  MAX_QUEUE_LENGTH: Joi.number().integer().min(1).default(1_000_000),
  MAX_BODY_BYTES: Joi.number().integer().min(1024).max(MAX_BODY_BYTES).default(1_048_576),
  MAX_BATCH: Joi.number().integer().min(1).max(100_000).default(1_000),
  LOG_LEVEL: Joi.valid('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent').default('info'),
};

const schema = Joi.object<Settings>(settings).prefs({
  abortEarly: false,
  errors: { wrap: { label: false } },
  messages: {
    'any.custom': '{{#label}} {{#error.message}}',
    'object.unknown': '{{#key}} is not a setting of aizumi',
  },
});

function checkRedisUrl(value: string): string {
  parseRedisAddress(value);
  return value;
}

/** Every setting's variable, for documents and manifests to be checked against. */
export const SETTING_NAMES: readonly string[] = Object.keys(settings).map((name) => PREFIX + name);

/** Thrown by {@link loadConfig}; `message` has one line for each bad variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads AIZUMI_* from `env`. An empty variable counts as not set.
 * @throws ConfigError naming every bad and every unknown AIZUMI_* variable
 */
export function loadConfig(env: NodeJS.ProcessEnv): Config {
  const given = Object.entries(env)
    .filter(([name, value]) => name.startsWith(PREFIX) && !NOT_SETTINGS.test(name) && value !== '')
    .map(([name, value]) => [name.slice(PREFIX.length), value]);
  const result: Joi.ValidationResult<Settings> = schema.validate(Object.fromEntries(given));
  if (result.error) throw new ConfigError(result.error.details.map((fault) => PREFIX + fault.message).join('\n'));
  const { value } = result;
  return Object.freeze({
    host: value.HOST,
    port: value.PORT,
    workers: value.WORKERS === 'auto' ? availableParallelism() : value.WORKERS,
    brokerId: value.BROKER_ID,
    redisUrl: value.REDIS_URL,
    redisServer: value.REDIS_SERVER,
    dataDir: resolve(value.DATA_DIR),
    keyPrefix: value.KEY_PREFIX,
    durability: value.DURABILITY,
    durabilityTimeoutMs: value.DURABILITY_TIMEOUT_MS,
    replicationNodes: value.REPLICATION_NODES,
    replicaMaxLagMs: value.REPLICA_MAX_LAG_MS,
    dedupWindowMs: value.DEDUP_WINDOW_MS,
    visibilityTimeoutMs: value.VISIBILITY_TIMEOUT_MS,
    maxDeliveries: value.MAX_DELIVERIES,
    maxQueueLength: value.MAX_QUEUE_LENGTH,
    maxBodyBytes: value.MAX_BODY_BYTES,
    maxBatch: value.MAX_BATCH,
    logLevel: value.LOG_LEVEL,
  });
}
