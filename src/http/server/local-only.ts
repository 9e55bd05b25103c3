// Without credentials, only this machine may use aizumi; that must include pages in its browsers. A page of another site can make
// its own name resolve to 127.0.0.1 (DNS rebinding), or POST here without reading the reply. Host or Origin then has its name.
import type { IncomingMessage } from 'node:http';
import { BrokerError } from '../../errors.js';
import { isLoopback } from '../../config/rules.js';

/** @throws BrokerError forbidden */
export type CheckLocal = (req: IncomingMessage) => void;

const ADVICE =
  'set API keys (AIZUMI_API_KEYS_FILE) or JSON Web Tokens; AIZUMI_ALLOW_ANONYMOUS=true if whoever reaches aizumi, ' +
  'every page in a browser here included, may do everything';
const FOREIGN_HOST = `aizumi has no keys and answers this machine alone: Host must be localhost or a loopback address; ${ADVICE}`;
const FOREIGN_ORIGIN = `aizumi has no keys and answers this machine alone: no pages of other sites (Origin); ${ADVICE}`;

/** The probes are open: they reveal no data, and orchestrators send any Host. */
const OPEN = ['/livez', '/readyz'];
const LOCAL_NAME = /^[a-z0-9_.-]+\.localhost$/;
const PORT = /:\d{0,5}$/;

/**
 * A missing Host is accepted: HTTP/1.0 and simple clients omit it, browsers never do. Where this check applies, AIZUMI_HOST is a
 * loopback address.
 */
export function createCheckLocal(): CheckLocal {
  // nearly all requests of a worker have the same Host
  let lastGood = '';
  return ({ headers: { host = '', origin }, url }) => {
    if (host === lastGood && origin === undefined) return;
    if (OPEN.includes((url ?? '').split('?', 1)[0] ?? '')) return;
    if (host !== '' && !isLocalName(host.replace(PORT, ''))) throw new BrokerError('forbidden', FOREIGN_HOST);
    if (origin !== undefined && !isLocalOrigin(origin)) throw new BrokerError('forbidden', FOREIGN_ORIGIN);
    lastGood = host;
  };
}

/** @param host without its port; an IPv6 address in brackets */
function isLocalName(host: string): boolean {
  const name = (host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host).toLowerCase();
  const bare = name.endsWith('.') ? name.slice(0, -1) : name;
  return isLoopback(bare) || LOCAL_NAME.test(bare);
}

/** The origin `null`, which sandboxed pages and files have, is not local. */
function isLocalOrigin(origin: string): boolean {
  try {
    return isLocalName(new URL(origin).hostname);
  } catch {
    return false;
  }
}
