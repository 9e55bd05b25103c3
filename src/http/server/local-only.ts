// While nobody is asked for credentials, "only this machine" must hold for pages in its browsers too: a page of another site can
// make its own name resolve to 127.0.0.1 (DNS rebinding), or POST here blindly. Its name is in Host then, or in Origin.
import type { IncomingMessage } from 'node:http';
import { BrokerError } from '../../errors.js';
import { isLoopback } from '../../config/rules.js';

/** @throws BrokerError forbidden */
export type CheckLocal = (req: IncomingMessage) => void;

const ADVICE =
  'set API keys (AIZUMI_API_KEYS_FILE) or JSON Web Tokens; AIZUMI_ALLOW_ANONYMOUS=true if whoever reaches aizumi, every page in a browser here included, may do everything';
const FOREIGN_HOST = `aizumi has no keys and answers this machine alone: Host must be localhost or a loopback address; ${ADVICE}`;
const FOREIGN_ORIGIN = `aizumi has no keys and answers this machine alone: no pages of other sites (Origin); ${ADVICE}`;

/** They tell nothing of what is in aizumi, and orchestrators name hosts as they like. */
const OPEN = ['/livez', '/readyz'];
const LOCAL_NAME = /^[a-z0-9_.-]+\.localhost$/;
const PORT = /:\d{0,5}$/;

/**
 * A missing Host is let through: HTTP/1.0 and clients written by hand leave it out, browsers never do. The name in AIZUMI_HOST,
 * where this check applies, is a loopback one.
 */
export function createCheckLocal(): CheckLocal {
  // nearly all requests of a worker name it in the same way
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

/** `null`, which sandboxed pages and files have, is nobody's. */
function isLocalOrigin(origin: string): boolean {
  try {
    return isLocalName(new URL(origin).hostname);
  } catch {
    return false;
  }
}
