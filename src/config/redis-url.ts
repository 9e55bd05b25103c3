// Parses AIZUMI_REDIS_URL into the addresses and the deployment shape of Redis, for its validation and for redis/.

export interface Host {
  host: string;
  port: number;
}

interface Login {
  username?: string;
  password?: string;
  tls: boolean;
  access?: RedisAccess;
}

/** A single Redis, with a URL that ioredis or node:net accepts: redis:, rediss: or unix: */
export interface SingleAddress {
  shape: 'single';
  url: string;
  access?: RedisAccess;
}

/** A primary that Sentinels monitor under the name `primary`. The login is the primary's. */
export interface SentinelAddress extends Login {
  shape: 'sentinel';
  hosts: Host[];
  primary: string;
  db: number;
  sentinelUsername?: string;
  sentinelPassword?: string;
}

/** A Redis Cluster, reached through some of its nodes. */
export interface ClusterAddress extends Login {
  shape: 'cluster';
  hosts: Host[];
}

/** User, password and certificates for Redis that are not in the URL. The files are read for each connection. */
export interface RedisAccess {
  username?: string | undefined;
  passwordFile?: string | undefined;
  caFile?: string | undefined;
  certFile?: string | undefined;
  keyFile?: string | undefined;
}

export type RedisAddress = SingleAddress | SentinelAddress | ClusterAddress;

const EXAMPLES =
  'redis://host:6379, rediss://host:6379, unix:///path/of/socket, ' +
  'redis+sentinel://h1:26379,h2:26379,h3:26379/mymaster or redis+cluster://h1:6379,h2:6379,h3:6379';

const SEVERAL_HOSTS =
  /^(?<scheme>rediss?)\+(?<shape>sentinel|cluster):\/\/(?:(?<username>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<hosts>[^/?]+)(?:\/(?<name>[^/?]*))?(?:\?(?<query>.*))?$/;

const DEFAULT_PORTS = { sentinel: 26_379, cluster: 6_379 };

/**
 * Parses AIZUMI_REDIS_URL; user and password are percent-decoded. `rediss+…` means TLS to every node.
 * Query of a sentinel URL: db, sentinelUsername, sentinelPassword.
 * @param access is added to the address
 * @throws Error with examples of valid URLs
 */
export function parseRedisAddress(url: string, access?: RedisAccess): RedisAddress {
  const several = SEVERAL_HOSTS.exec(url)?.groups;
  try {
    const address = several === undefined ? parseSingle(url) : parseSeveral(several);
    return access === undefined ? address : { ...address, access };
  } catch {
    throw wrong(); // the same text for every fault, without any part of the URL, which may hold a password
  }
}

function parseSeveral(several: Record<string, string | undefined>): SentinelAddress | ClusterAddress {
  const shape = several.shape as 'sentinel' | 'cluster';
  const hosts = (several.hosts ?? '').split(',').map((host) => parseHost(host, DEFAULT_PORTS[shape]));
  const login = {
    tls: several.scheme === 'rediss',
    ...decoded('username', several.username),
    ...decoded('password', several.password),
  };
  const name = several.name ?? '';
  const query = new URLSearchParams(several.query);
  if (shape === 'cluster') {
    if (name !== '' || query.size > 0) throw wrong();
    return { shape, hosts, ...login };
  }
  const db = query.get('db') ?? '0';
  const known = ['db', 'sentinelUsername', 'sentinelPassword'];
  const keys = [...query.keys()];
  const isKnown = keys.every((key) => known.includes(key)) && new Set(keys).size === keys.length;
  if (!/^\S+$/.test(name) || !/^\d+$/.test(db) || !isKnown) throw wrong();
  return {
    shape,
    hosts,
    primary: decodeURIComponent(name),
    db: Number(db),
    ...login,
    ...decoded('sentinelUsername', raw(several.query, 'sentinelUsername')),
    ...decoded('sentinelPassword', raw(several.query, 'sentinelPassword')),
  };
}

/** Whether the URL asks for TLS, and names a user and a password. */
export function describeLogin(url: string): { tls: boolean; username: boolean; password: boolean } {
  const address = parseRedisAddress(url);
  const { username, password } = address.shape === 'single' ? new URL(url) : address;
  return { tls: url.startsWith('rediss'), username: Boolean(username), password: Boolean(password) };
}

/** Shape and hosts without any secret, for logs and people. */
export function describeAddress(url: string): string {
  const several = SEVERAL_HOSTS.exec(url)?.groups;
  if (several) return `${several.scheme}+${several.shape}://${several.hosts}${several.name ? `/${several.name}` : ''}`;
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

function parseSingle(url: string): SingleAddress {
  const { protocol, hostname, username, password, pathname } = new URL(url); // throws, for example on port 99999
  const parts = [username, password, pathname].map(decodeURIComponent); // throws on %zz
  const complete =
    protocol === 'unix:'
      ? hostname === '' && /^unix:\/\/\/./.test(url)
      : /^rediss?:$/.test(protocol) && hostname !== '' && /^\/?\d*$/.test(parts[2] ?? '');
  if (!complete || url !== url.trim()) throw wrong();
  return { shape: 'single', url };
}

/** host, host:port or [v6]:port */
function parseHost(text: string, defaultPort: number): Host {
  const [, v6, name, port = String(defaultPort)] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = v6 ?? name;
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) throw wrong();
  return { host, port: Number(port) };
}

const decoded = <K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> =>
  value === undefined || value === '' ? {} : ({ [key]: decodeURIComponent(value) } as Record<K, string>);

/** The raw value in the query: URLSearchParams would turn a + into a blank, and accept a stray %. */
const raw = (query: string | undefined, key: string): string | undefined =>
  query
    ?.split('&')
    .find((part) => part.startsWith(`${key}=`))
    ?.slice(key.length + 1);

const wrong = (): Error => new Error(`must be an address such as ${EXAMPLES}`);
