// User, password and TLS certificates for Redis: from the URL, and from files that may change while aizumi runs.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import type { Config } from '../../config/config.js';
import type { RedisAccess, RedisAddress, SentinelAddress } from '../../config/redis-url.js';
import { changeLogin } from '../private-api.js';

type Login = Pick<RedisOptions, 'username' | 'password' | 'tls'>;

/**
 * The login in ioredis's form, with the files as they are now. A file that cannot be used leaves its last good content in use.
 * @throws Error that names the setting of a bad file if none of its earlier contents was good
 */
export function loginOptions(address: RedisAddress): Login {
  const { access = {} } = address;
  // ioredis itself reads user and password from the URL of a single Redis
  const { username, password, tls } =
    address.shape === 'single' ? { tls: address.url.startsWith('rediss:') } : { ...address };
  return {
    ...given(access.username ?? username, passwordIn(access) ?? password),
    ...(tls && { tls: tlsIn(address.access) }),
  };
}

/** The same for a node that was discovered and is not in the URL, such as a replica. */
export function nodeLogin(address: RedisAddress): Login {
  if (address.shape !== 'single') return loginOptions(address);
  const { username, password } = new URL(address.url);
  const inUrl = {
    ...(username && { username: decodeURIComponent(username) }),
    ...(password && { password: decodeURIComponent(password) }),
  };
  return { ...inUrl, ...loginOptions(address) };
}

/** The Sentinels have a user and password of their own; the certificates are the same for all servers. */
export const sentinelLogin = ({ sentinelUsername, sentinelPassword, tls, access }: SentinelAddress): Login => ({
  ...given(sentinelUsername, sentinelPassword),
  ...(tls && { tls: tlsIn(access) }),
});

const given = (username: string | undefined, password: string | undefined): Login => ({
  ...(username !== undefined && { username }),
  ...(password !== undefined && { password }),
});

/** Has each further attempt to connect use the files as they are then. */
export function keepLogin(redis: Redis, address: RedisAddress): void {
  if (address.access !== undefined) redis.on('close', () => changeLogin(redis, loginOptions(address)));
}

/** The same for a Cluster, which makes a new connection object for each node that appears. */
export function keepLogins(cluster: Cluster, address: RedisAddress): void {
  if (address.access !== undefined) cluster.on('+node', (redis: Redis) => changeLogin(redis, loginOptions(address)));
}

/** @returns undefined when no setting adds to the URL */
export const accessOf = (config: Config): RedisAccess | undefined => {
  const access = {
    username: config.redisUsername,
    passwordFile: config.redisPasswordFile,
    caFile: config.redisCaFile,
    certFile: config.redisCertFile,
    keyFile: config.redisKeyFile,
  };
  return Object.values(access).some((value) => value !== undefined) ? access : undefined;
};

interface Good {
  password?: string;
  certificates?: { texts: string; secureContext: SecureContext };
}

/** Kubernetes does not replace the files of a Secret all at once, and ioredis gives up after a certificate that it cannot use. */
const lastGood = new WeakMap<RedisAccess, Good>();

function goodOf(access: RedisAccess): Good {
  const known = lastGood.get(access) ?? {};
  lastGood.set(access, known);
  return known;
}

function passwordIn(access: RedisAccess): string | undefined {
  if (access.passwordFile === undefined) return undefined;
  const good = goodOf(access);
  try {
    // editors and echo end a file with a line break
    good.password = readFileSync(access.passwordFile, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    if (good.password === undefined) throw bad('AIZUMI_REDIS_PASSWORD_FILE cannot be read', error);
  }
  return good.password;
}

function tlsIn(access: RedisAccess | undefined): NonNullable<RedisOptions['tls']> {
  if (!access?.caFile && !access?.certFile) return {};
  const good = goodOf(access);
  try {
    const [ca, cert, key] = [access.caFile, access.certFile, access.keyFile].map(
      (file) => file && readFileSync(file, 'utf8'),
    );
    const texts = [ca, cert, key].join('\0');
    if (ca !== undefined) new X509Certificate(ca); // throws if unusable, which createSecureContext would ignore
    if (good.certificates?.texts !== texts)
      good.certificates = { texts, secureContext: createSecureContext({ ca, cert, key }) };
    return { secureContext: good.certificates.secureContext };
  } catch (error) {
    if (good.certificates !== undefined) return { secureContext: good.certificates.secureContext };
    throw bad('AIZUMI_REDIS_CA_FILE, AIZUMI_REDIS_CERT_FILE and AIZUMI_REDIS_KEY_FILE cannot be used', error);
  }
}

const bad = (what: string, error: unknown): Error =>
  new Error(`${what}: ${(error as Error).message}`, { cause: error });
