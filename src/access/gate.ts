// Who is let in: the text of a request's Authorization → what that client may do.
import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { digestOf } from './api-key.js';
import { unauthenticated } from './credentials.js';
import type { Admission } from './credentials.js';
import { followFile } from './followed-file.js';
import type { Followed } from './followed-file.js';
import { openTokens } from './jwt.js';
import type { Tokens } from './jwt.js';
import { readKeys } from './keys-file.js';
import type { Keys } from './keys-file.js';
import { ANYTHING } from './permissions.js';

export interface GateSettings {
  readonly apiKeysFile: string | undefined;
  readonly jwtIssuer: string | undefined;
  readonly jwtAudience: string | undefined;
  readonly jwtJwksUrl: string | undefined;
  readonly jwtPublicKeyFile: string | undefined;
}

export interface Gate {
  /**
   * Asked for every request, so that a key that is withdrawn or expires is so on open connections too. It costs half a
   * microsecond; only a token that is not known yet is answered with a promise.
   * @param authorization the header; undefined without one
   * @throws BrokerError unauthenticated, unavailable
   */
  admit(authorization: string | undefined): Admission;
  /** Names in the file of keys that were let in here since this process began, and when last, ms since 1970. */
  lastUses(): Iterable<[name: string, atMs: number]>;
  close(): void;
}

/** Where no credentials are set up. */
export const OPEN_GATE: Gate = { admit: () => ANYTHING, lastUses: () => [], close: () => undefined };

/** @throws AccessError when a file cannot be used */
export async function openGate(settings: GateSettings, log: Logger): Promise<Gate> {
  const { apiKeysFile: path, jwtIssuer: issuer, jwtAudience: audience } = settings;
  let uses: Keys['lastUses'] | undefined;
  const read = (text: string): Keys => {
    const keys = readKeys(text, uses);
    uses = keys.lastUses;
    return keys;
  };
  const keys = path === undefined ? undefined : await followFile({ path, setting: 'AIZUMI_API_KEYS_FILE', read, log });
  try {
    const { jwtJwksUrl: jwksUrl, jwtPublicKeyFile: publicKeyFile } = settings;
    const tokens =
      issuer === undefined || audience === undefined
        ? undefined
        : await openTokens({ issuer, audience, jwksUrl, publicKeyFile }, log);
    return keys || tokens ? gateOf(keys, tokens) : OPEN_GATE;
  } catch (error) {
    keys?.stop();
    throw error;
  }
}

/** Opens it and closes it again, once for all workers. @throws AccessError with what keeps it from opening */
export async function tryGate(settings: GateSettings, log: Logger): Promise<void> {
  (await openGate(settings, log)).close();
  if (settings.apiKeysFile !== undefined) await warnOfOpenFile(settings.apiKeysFile, log);
}

/** Bits of a file's mode: what others than its user and its group may do. */
const OTHERS_READ = 0o004;
const OTHERS_WRITE = 0o002;

async function warnOfOpenFile(path: string, log: Logger): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode,
    () => 0,
  );
  const may = mode & OTHERS_WRITE ? 'write' : mode & OTHERS_READ ? 'read' : undefined;
  if (may !== undefined)
    log.warn(
      { path },
      `every user of this machine may ${may} AIZUMI_API_KEYS_FILE: it says who may do what; chmod o-rwx`,
    );
}

/** The scheme in any case, as RFC 9110 has it; of a token neither the form nor the length says anything yet. */
const BEARER = /^Bearer +(\S+)$/i;
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

function gateOf(keys: Followed<Keys> | undefined, tokens: Tokens | undefined): Gate {
  const what = [keys && 'an API key', tokens && 'a JSON Web Token'].filter(Boolean).join(' or ');
  return {
    admit(authorization) {
      if (authorization === undefined) throw unauthenticated(`send Authorization: Bearer with ${what}`);
      const token = BEARER.exec(authorization)?.[1];
      if (token === undefined) throw unauthenticated(`Authorization must be Bearer and ${what}`);
      const digest = digestOf(token);
      const access = keys?.current.find(digest);
      if (access !== undefined) return access;
      if (tokens && JWT.test(token)) return tokens.admit(token, digest);
      throw unauthenticated('this key is not known: it may have been withdrawn');
    },
    *lastUses() {
      for (const [name, { atMs }] of keys?.current.lastUses ?? []) if (atMs > 0) yield [name, atMs];
    },
    close() {
      keys?.stop();
      tokens?.stop();
    },
  };
}
