// Queries the DNS servers of this machine with c-ares, which uses no thread. A lost packet or a dead server costs 50 ms.
import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { withTimeout } from '../timing/timeout.js';
import { candidates } from './local-files.js';
import type { Search } from './local-files.js';

/**
 * An unanswered query is repeated after each of these pauses, and fails after the last. All repeats stay open, and the first
 * answer counts. c-ares's own retries would not do: they begin after 250 ms at the earliest, and behind a load balancer a query
 * from the same port may reach the same dead server again.
 */
const PAUSES_MS = [50, 100, 200, 400, 500, 500, 500, 750];
const LOOK_UP_MS = PAUSES_MS.reduce((sum, pause) => sum + pause);
/** Once a name has addresses of one family, the other family has this long to answer: time for one repeat. */
const OTHER_FAMILY_MS = 150;

export interface DnsOptions {
  families: (4 | 6)[];
  search: Search;
  /** Addresses to query instead of the servers in /etc/resolv.conf. */
  servers?: string[] | undefined;
}

/**
 * Looks a name up, in the search domains too if it is short. IPv6 addresses are first, as getaddrinfo returns them.
 * @throws Error with c-ares's `code`; ETIMEOUT when no server has answered
 */
export async function askDns(name: string, options: DnsOptions): Promise<LookupAddress[]> {
  const errors: NodeJS.ErrnoException[] = [];
  for (const candidate of candidates(name, options.search)) {
    try {
      return await askBoth(candidate, options);
    } catch (error) {
      errors.push(error as NodeJS.ErrnoException);
      // this candidate might exist, so an answer for the next one could be another host
      if ((error as NodeJS.ErrnoException).code === 'ETIMEOUT') break;
    }
  }
  throw mostTelling(errors);
}

async function askBoth(name: string, { families, servers }: DnsOptions): Promise<LookupAddress[]> {
  const asked = families.map((family) => askOne(name, family, servers));
  await Promise.any(asked).catch((error: unknown) => {
    throw mostTelling((error as AggregateError).errors as NodeJS.ErrnoException[]);
  });
  const found = await Promise.all(asked.map((each) => withTimeout(OTHER_FAMILY_MS, each)));
  return found.flatMap((addresses) => addresses ?? []);
}

/**
 * Of several errors the first that may be temporary, or else the last: a name certainly does not exist only if all agree.
 */
const mostTelling = (errors: NodeJS.ErrnoException[]): NodeJS.ErrnoException =>
  errors.find(({ code }) => code !== 'ENOTFOUND' && code !== 'ENODATA') ?? (errors.at(-1) as NodeJS.ErrnoException);

function askOne(name: string, family: 4 | 6, servers: string[] | undefined): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    const attempts: Resolver[] = [];
    let timer: NodeJS.Timeout | undefined;
    const end = (): void => {
      clearTimeout(timer);
      for (const attempt of attempts) attempt.cancel();
    };
    const fail = (error: NodeJS.ErrnoException): void => {
      if (error.code === 'ETIMEOUT' || error.code === 'ECANCELLED') return;
      end();
      reject(error);
    };
    const attempt = (): void => {
      const pauseMs = PAUSES_MS[attempts.length];
      if (pauseMs === undefined) {
        end();
        reject(noAnswer(name));
        return;
      }
      const resolver = resolverFor(attempts.length, servers);
      attempts.push(resolver);
      timer = setTimeout(attempt, pauseMs);
      const answer = family === 4 ? resolver.resolve4(name) : resolver.resolve6(name);
      answer.then((addresses) => {
        end();
        resolve(addresses.map((address) => ({ address, family })));
      }, fail);
    };
    attempt();
  });
}

/** Each attempt has its own port and begins with the next server in turn. If that refuses, c-ares queries the others. */
function resolverFor(attempt: number, given: string[] | undefined): Resolver {
  const resolver = new Resolver({ timeout: 2 * LOOK_UP_MS, tries: 1 });
  const servers = given ?? resolver.getServers();
  const first = attempt % servers.length;
  if (given !== undefined || first > 0) resolver.setServers([...servers.slice(first), ...servers.slice(0, first)]);
  return resolver;
}

const noAnswer = (name: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`no DNS server has answered within ${LOOK_UP_MS} ms: ${name}`), { code: 'ETIMEOUT' });
