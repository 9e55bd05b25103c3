// Every AIZUMI_* variable: what it means, its unit, its default and what it may be.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import Joi from 'joi';
import { parseRedisAddress } from './redis-address.js';

/** Effective settings, by variable without AIZUMI_. Times are milliseconds, sizes bytes, unless the name says otherwise. */
export interface Settings {
  HOST: string;
  PORT: number;
  /** Whether anybody may use aizumi where others reach it: without it, it listens on loopback only, or asks for credentials. */
  ALLOW_ANONYMOUS: boolean;
  /** Who may do what, docs/security.md; undefined: there are no API keys. */
  API_KEYS_FILE: string | undefined;
  JWT_ISSUER: string | undefined;
  JWT_AUDIENCE: string | undefined;
  JWT_JWKS_URL: string | undefined;
  JWT_PUBLIC_KEY_FILE: string | undefined;
  WORKERS: number;
  /** A worker that is told to stop goes on for so long, while GET /readyz says 503: a balancer has noticed by then. */
  DRAIN_DELAY_MS: number;
  /** An idle connection is kept for so long; every reply announces it. */
  KEEP_ALIVE_MS: number;
  /** A port for /livez and /readyz alone, plain HTTP; undefined: on PORT only. */
  PROBE_PORT: number | undefined;
  /** PEM files of TLS for clients; undefined: plain HTTP. */
  TLS_CERT_FILE: string | undefined;
  TLS_KEY_FILE: string | undefined;
  /** Clients must show a certificate of one of these authorities; undefined: they need none. */
  TLS_CLIENT_CA_FILE: string | undefined;
  BROKER_ID: number;
  /** Where Redis is; undefined: aizumi starts its own (the embedded Redis). */
  REDIS_URL: string | undefined;
  /** Its user, where the URL names none. */
  REDIS_USERNAME: string | undefined;
  REDIS_PASSWORD_FILE: string | undefined;
  /** PEM files of TLS to Redis: who vouches for it; and who aizumi is. */
  REDIS_CA_FILE: string | undefined;
  REDIS_CERT_FILE: string | undefined;
  REDIS_KEY_FILE: string | undefined;
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
  MAX_QUEUE_BYTES: number;
  /** Of a client: queues that it may have made, through any worker, and bytes that it may have stored, through each. */
  MAX_CLIENT_QUEUES: number;
  MAX_CLIENT_BYTES: number;
  MAX_BODY_BYTES: number;
  /** Requests in one body. */
  MAX_BATCH: number;
  /** What the messages in the reply to one body may weigh. */
  MAX_REPLY_BYTES: number;
  /** Memory of a worker for what its clients make it hold; undefined: a share of what there is (memory-limit). */
  MAX_BYTES_IN_FLIGHT: number | undefined;
  /** RECVs that may wait at once in a worker, of one client, and on one connection. */
  MAX_WAITING_RECVS: number;
  MAX_CLIENT_WAITING_RECVS: number;
  MAX_CONNECTION_WAITING_RECVS: number;
  /** Limits of each worker; undefined: none. */
  MAX_CONNECTIONS: number | undefined;
  MAX_CLIENT_REQUESTS_PER_S: number | undefined;
  MAX_ADDRESS_REQUESTS_PER_S: number | undefined;
  MAX_EVENT_LOOP_DELAY_MS: number | undefined;
  MAX_UNANSWERED_COMMANDS: number | undefined;
  LOG_LEVEL: string;
  /** Where GET /metrics is; undefined: nowhere, and nothing is counted. */
  METRICS_PORT: number | undefined;
  METRICS_HOST: string;
  /** Queues that have metrics of their own. */
  METRICS_QUEUES: number;
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
/** More than any worker does. */
const MAX_PER_S = 1_000_000;

/** Absolute, so that it does not matter when the process's folder changes. */
const file = Joi.string().custom((path: string) => resolve(path));

export const SETTINGS: Joi.PartialSchemaMap<Settings> = {
  HOST: Joi.string().default('127.0.0.1'),
  PORT: Joi.number().integer().min(0).max(65535).default(8080),
  ALLOW_ANONYMOUS: Joi.boolean().sensitive().messages({ '*': '{{#label}} must be true or false' }).default(false),
  API_KEYS_FILE: file,
  JWT_ISSUER: Joi.string(),
  JWT_AUDIENCE: Joi.string(),
  JWT_JWKS_URL: Joi.string()
    .pattern(/^https?:\/\/[^\s/@]+(\/[^\s@]*)?$/)
    .message('{{#label}} must be an address such as https://issuer.example/jwks.json, without a password in it'),
  JWT_PUBLIC_KEY_FILE: file,
  WORKERS: Joi.alternatives()
    .conditional(Joi.valid('auto'), {
      then: Joi.any().custom(() => availableParallelism()),
      otherwise: Joi.number().integer().min(1).max(1024),
    })
    .default(1),
  DRAIN_DELAY_MS: Joi.number().integer().min(0).max(60_000).default(0),
  // replies announce whole seconds
  KEEP_ALIVE_MS: Joi.number().integer().min(1_000).max(3_600_000).default(65_000),
  PROBE_PORT: Joi.number().integer().min(1).max(65535),
  TLS_CERT_FILE: readableFile(),
  TLS_KEY_FILE: readableFile(),
  TLS_CLIENT_CA_FILE: readableFile(),
  BROKER_ID: Joi.number().integer().min(0).max(MAX_ADDRESS).default(5000),
  REDIS_URL: Joi.string().custom(checkRedisUrl),
  REDIS_USERNAME: Joi.string(),
  REDIS_PASSWORD_FILE: readableFile(),
  REDIS_CA_FILE: readableFile(),
  REDIS_CERT_FILE: readableFile(),
  REDIS_KEY_FILE: readableFile(),
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
  // a queue of one message takes 5 KB: less would be no limit but an end
  MAX_QUEUE_BYTES: Joi.number().integer().min(65_536).default(1_073_741_824),
  MAX_CLIENT_QUEUES: Joi.number().integer().min(1).default(20_000),
  MAX_CLIENT_BYTES: Joi.number().integer().min(65_536).default(1_073_741_824),
  MAX_BODY_BYTES: Joi.number().integer().min(1024).max(MAX_BODY_BYTES).default(1_048_576),
  MAX_BATCH: Joi.number().integer().min(1).max(100_000).default(1_000),
  // 16 of the largest messages; in pieces, joined and on its way a reply takes four times as much for a moment
  MAX_REPLY_BYTES: Joi.number().integer().min(65_536).max(MAX_BODY_BYTES).default(16_777_216),
  MAX_BYTES_IN_FLIGHT: Joi.number().integer().min(1024),
  MAX_WAITING_RECVS: Joi.number().integer().min(1).default(20_000),
  // without credentials a client is a machine: all behind a balancer are one
  MAX_CLIENT_WAITING_RECVS: Joi.number().integer().min(1).default(10_000),
  // as many as a batch holds
  MAX_CONNECTION_WAITING_RECVS: Joi.number().integer().min(1).default(1_000),
  MAX_CONNECTIONS: Joi.number().integer().min(1),
  MAX_CLIENT_REQUESTS_PER_S: Joi.number().integer().min(1).max(MAX_PER_S),
  MAX_ADDRESS_REQUESTS_PER_S: Joi.number().integer().min(1).max(MAX_PER_S),
  MAX_EVENT_LOOP_DELAY_MS: Joi.number().integer().min(10).max(60_000),
  MAX_UNANSWERED_COMMANDS: Joi.number().integer().min(100),
  LOG_LEVEL: Joi.valid('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent').default('info'),
  METRICS_PORT: Joi.number().integer().min(0).max(65535),
  METRICS_HOST: Joi.string().default('127.0.0.1'),
  METRICS_QUEUES: Joi.number().integer().min(0).max(1_000).default(20),
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

/** Its name; absolute. What must be in it is checked where it is used. */
function readableFile(): Joi.StringSchema {
  return Joi.string().custom((file: string) => {
    readFileSync(file);
    return resolve(file);
  });
}
