// Asks the DNS servers of this machine with c-ares, which needs no thread. A lost packet or a dead server costs 50 ms.
import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { within } from '../timing/timeout.js';
import { candidates } from './local-files.js';
import type { Search } from './local-files.js';

/**
 * A question that is not answered yet is repeated after the first of these pauses, then after the next; it ends with the last.
 * All repeats stay open, and the first answer counts. Not c-ares's own retries: they never come sooner than after 250 ms, and
 * what is sent from the same port may go to the same dead server again, where a load balancer stands before several.
 */
const PAUSES_MS = [50, 100, 200, 400, 500, 500, 500, 750];
const LOOK_UP_MS = PAUSES_MS.reduce((sum, pause) => sum + pause);
/** Once a name has addresses of one family, those of the other are waited for so long: for a repeat. */
const OTHER_FAMILY_MS = 150;

export interface DnsOptions {
  families: (4 | 6)[];
  search: Search;
  /** Instead of those of /etc/resolv.conf. */
  servers?: string[] | undefined;
}

/**
 * Looks a name up, with the domains that short names are looked for in. IPv6 addresses come first, as getaddrinfo has them.
 * @throws Error with c-ares's `code`; ETIMEOUT when no server has answered
 */
export async function askDns(name: string, options: DnsOptions): Promise<LookupAddress[]> {
  const errors: NodeJS.ErrnoException[] = [];
  for (const candidate of candidates(name, options.search)) {
    try {
      return await askBoth(candidate, options);
    } catch (error) {
      errors.push(error as NodeJS.ErrnoException);
      // without an answer to this one, what the next one names may be another host
      if ((error as NodeJS.ErrnoException).code === 'ETIMEOUT') break;
    }
  }
  throw weightiest(errors);
}

async function askBoth(name: string, { families, servers }: DnsOptions): Promise<LookupAddress[]> {
  const asked = families.map((family) => askOne(name, family, servers));
  await Promise.any(asked).catch((error: unknown) => {
    throw weightiest((error as AggregateError).errors as NodeJS.ErrnoException[]);
  });
  const found = await Promise.all(asked.map((each) => within(OTHER_FAMILY_MS, each)));
  return found.flatMap((addresses) => addresses ?? []);
}

/** Of several failures the one that may pass; the last one where there is none such. */
const weightiest = (errors: NodeJS.ErrnoException[]): NodeJS.ErrnoException =>
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

/** One for each attempt: from a port of its own, to the next server in turn. What one server refuses, c-ares asks of the others. */
function resolverFor(attempt: number, given: string[] | undefined): Resolver {
  const resolver = new Resolver({ timeout: 2 * LOOK_UP_MS, tries: 1 });
  const servers = given ?? resolver.getServers();
  const first = attempt % servers.length;
  if (given !== undefined || first > 0) resolver.setServers([...servers.slice(first), ...servers.slice(0, first)]);
  return resolver;
}

const noAnswer = (name: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`no DNS server has answered within ${LOOK_UP_MS} ms: ${name}`), { code: 'ETIMEOUT' });
