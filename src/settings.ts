// Every AIZUMI_* variable: what it means, its unit, its default and what it may be.
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import Joi from 'joi';
import { parseRedisAddress } from './redis-address.js';

/** Effective settings, by variable without AIZUMI_. Times are milliseconds, sizes bytes, unless the name says otherwise. */
export interface Settings {
  HOST: string;
  PORT: number;
  WORKERS: number;
  BROKER_ID: number;
  /** Where Redis is; undefined: aizumi starts its own (the embedded Redis). */
  REDIS_URL: string | undefined;
  /** Program of the embedded Redis; undefined: redis-server or valkey-server from the PATH. */
  REDIS_SERVER: string | undefined;
  DATA_DIR: string;
  KEY_PREFIX: string;
  /** When a SEND is answered that does not say so itself. */
  DURABILITY: 'primary' | 'quorum' | 'all';
  DURABILITY_TIMEOUT_MS: number;
  /** Nodes of each primary's deployment, itself included; undefined: found out from Sentinel, Cluster or the primary. */
  REPLICATION_NODES: number | undefined;
  REPLICA_MAX_LAG_MS: number;
  DEDUP_WINDOW_MS: number;
  VISIBILITY_TIMEOUT_MS: number;
  MAX_DELIVERIES: number;
  MAX_QUEUE_LENGTH: number;
  MAX_BODY_BYTES: number;
  /** Requests in one body. */
  MAX_BATCH: number;
  LOG_LEVEL: string;
  /** OTLP/HTTP receiver of traces; undefined: there are none. */
  TRACES_URL: string | undefined;
  /** Part of the traces that begin here which are kept, 0 … 1. */
  TRACES_RATIO: number;
}

const MAX_ADDRESS = 0xffff_ffff;
/** SQS's longest visibility timeout, 12 hours. */
const MAX_VISIBILITY_TIMEOUT_MS = 43_200_000;
/** Redis refuses a bulk string over 512 MiB (proto-max-bulk-len); V8's longest string is just under that. */
const MAX_BODY_BYTES = 256 * 1024 * 1024;

export const SETTINGS: Joi.PartialSchemaMap<Settings> = {
  HOST: Joi.string().default('127.0.0.1'),
  PORT: Joi.number().integer().min(0).max(65535).default(8080),
  WORKERS: Joi.alternatives()
    .conditional(Joi.valid('auto'), {
      then: Joi.any().custom(() => availableParallelism()),
      otherwise: Joi.number().integer().min(1).max(1024),
    })
    .default(1),
  BROKER_ID: Joi.number().integer().min(0).max(MAX_ADDRESS).default(5000),
  REDIS_URL: Joi.string().custom(checkRedisUrl),
  REDIS_SERVER: Joi.string(),
  DATA_DIR: Joi.string()
    .custom((folder: string) => resolve(folder))
    .default(() => resolve('data')),
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
  TRACES_URL: Joi.string().custom(checkTracesUrl),
  TRACES_RATIO: Joi.number().min(0).max(1).default(1),
};

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
