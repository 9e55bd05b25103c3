// Resolves host names for every connection of a worker. A name that no longer resolves keeps its last addresses.
import { ADDRCONFIG } from 'node:dns';
import type { LookupAddress } from 'node:dns';
import { lookup as askSystem } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Logger } from 'pino';
import { withTimeout } from '../timing/timeout.js';
import { askDns } from './dns.js';
import { cachedFile, parseHosts, parseSearch } from './local-files.js';

/** How long a connection to a name whose addresses are known waits for a new answer, in case they have changed. */
const FRESH_MS = 250;
/**
 * Names remembered: those in AIZUMI_REDIS_URL and those that Sentinels and Cluster nodes name. The least recently used are
 * forgotten.
 */
const MOST_NAMES = 1_000;

const LOOPBACK: LookupAddress[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
];

interface Known {
  /** The result of the last successful look-up; empty before the first. */
  addresses: LookupAddress[];
  /** The look-up that is under way. */
  lookUp: Promise<LookupAddress[]> | undefined;
  /** The last look-up failed, which was logged. */
  isOld: boolean;
  /** DNS does not have the name; the system found it elsewhere. */
  isOfSystem: boolean;
}

export interface NamesOptions {
  hostsFile?: string;
  resolvConf?: string;
  /** Addresses to query instead of the DNS servers in /etc/resolv.conf. */
  servers?: string[];
  /** Looks a name up with getaddrinfo. */
  askSystem?: (name: string) => Promise<LookupAddress[]>;
}

/**
 * Resolves names without getaddrinfo, whose look-ups each occupy, for as long as DNS is silent, one of the four threads that
 * files, signatures and compression share. Only a name that DNS does not have and that getaddrinfo may know is looked up there,
 * one at a time.
 */
export class Names {
  readonly #known = new Map<string, Known>();
  readonly #hosts: () => Map<string, LookupAddress[]>;
  readonly #search: () => ReturnType<typeof parseSearch>;
  readonly #servers: string[] | undefined;
  readonly #askSystem: (name: string) => Promise<LookupAddress[]>;
  /** Settles with the last look-up by the system. */
  #systemsTurn: Promise<unknown> = Promise.resolve();
  #log: Pick<Logger, 'info' | 'warn'> | undefined;

  constructor(options: NamesOptions = {}) {
    this.#hosts = cachedFile(options.hostsFile ?? '/etc/hosts', parseHosts);
    this.#search = cachedFile(options.resolvConf ?? '/etc/resolv.conf', parseSearch);
    this.#servers = options.servers;
    this.#askSystem = options.askSystem ?? ((name) => askSystem(name, { all: true, hints: ADDRCONFIG }));
  }

  /** Has it logged once when a name no longer resolves, and once when it does again. */
  reportTo(log: Pick<Logger, 'info' | 'warn'>): void {
    this.#log = log;
  }

  /** @throws Error when `host` does not resolve and never did */
  async resolve(host: string): Promise<LookupAddress[]> {
    const family = isIP(host);
    if (family !== 0) return [{ address: host, family }];
    const name = host.toLowerCase();
    const local = this.#local(name);
    if (local !== undefined) return usable(local);
    const known = this.#entry(name);
    known.lookUp ??= this.#lookUp(name, known).finally(() => (known.lookUp = undefined));
    if (known.addresses.length === 0) return known.lookUp;
    return (await withTimeout(FRESH_MS, known.lookUp)) ?? known.addresses;
  }

  #local(name: string): LookupAddress[] | undefined {
    const bare = name.replace(/\.$/, '');
    // RFC 6761: localhost is this machine, whatever DNS returns
    return this.#hosts().get(bare) ?? (/(^|\.)localhost$/.test(bare) ? LOOPBACK : undefined);
  }

  #entry(name: string): Known {
    const known = this.#known.get(name) ?? { addresses: [], lookUp: undefined, isOld: false, isOfSystem: false };
    this.#known.delete(name);
    this.#known.set(name, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MOST_NAMES && oldest !== undefined) this.#known.delete(oldest);
    return known;
  }

  async #lookUp(name: string, known: Known): Promise<LookupAddress[]> {
    try {
      const addresses = await this.#find(name, known);
      if (known.isOld)
        this.#log?.info({ name, addresses: addresses.map(({ address }) => address) }, 'name resolves again');
      known.isOld = false;
      known.addresses = addresses;
      return addresses;
    } catch (error) {
      if (known.addresses.length > 0) this.#keepOld(name, known, error as Error);
      throw error;
    }
  }

  #keepOld(name: string, known: Known, { message: reason }: Error): void {
    const addresses = known.addresses.map(({ address }) => address);
    if (!known.isOld)
      this.#log?.warn({ name, addresses, reason }, 'name does not resolve: its last known addresses stay in use');
    known.isOld = true;
  }

  async #find(name: string, known: Known): Promise<LookupAddress[]> {
    try {
      const families: (4 | 6)[] = hasIpv6() ? [6, 4] : [4];
      const found = await askDns(name, { families, search: this.#search(), servers: this.#servers });
      known.isOfSystem = false;
      return found;
    } catch (error) {
      const mayBeElsewhere = known.addresses.length === 0 || known.isOfSystem;
      // while DNS is silent, the system would wait for it as well
      if (!mayBeElsewhere || (error as NodeJS.ErrnoException).code === 'ETIMEOUT') throw error;
      const turn = this.#systemsTurn.then(() => this.#askSystem(name));
      this.#systemsTurn = turn.catch(() => undefined);
      const found = await turn;
      known.isOfSystem = true;
      return found;
    }
  }
}

/** As getaddrinfo with AI_ADDRCONFIG, which node:net uses: IPv6 only if this machine has a global IPv6 address. */
const hasIpv6 = (): boolean =>
  Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family, internal, scopeid }) => family === 'IPv6' && !internal && scopeid === 0),
  );

function usable(addresses: LookupAddress[]): LookupAddress[] {
  if (hasIpv6()) return addresses;
  const ipv4 = addresses.filter(({ family }) => family === 4);
  return ipv4.length > 0 ? ipv4 : addresses;
}

/** The only instance of this process, so that all connections share what it knows. */
export const names = new Names();

/** The option `lookup` of node:net and everything that is built on it. */
export const lookUp: LookupFunction = (host, { family: asked, all }, callback) => {
  names.resolve(host).then(
    (addresses) => {
      const family = Number(String(asked ?? 0).replace('IPv', ''));
      const fitting = addresses.filter((each) => family === 0 || each.family === family);
      const [first] = fitting;
      if (first === undefined) callback(new Error(`no IPv${family} address is known: ${host}`), '');
      else if (all === true) callback(null, fitting);
      else callback(null, first.address, first.family);
    },
    (error: unknown) => callback(error as Error, ''),
  );
};
