// Authenticates a request: from its Authorization header to what that client may do.
import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { digestOf } from './api-key.js';
import { unauthenticated } from './credentials.js';
import type { Admission } from './credentials.js';
import { openReloadedFile } from './reloaded-file.js';
import type { ReloadedFile } from './reloaded-file.js';
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
   * Called for every request, so that a withdrawn or expired key is refused on open connections too. It takes half a
   * microsecond, and returns a promise only for a token that is not known yet.
   * @param authorization the header; undefined if there is none
   * @throws BrokerError unauthenticated, unavailable
   */
  admit(authorization: string | undefined): Admission;
  /** Names of keys that were accepted since this process began, and when each was last, ms since 1970. */
  lastUses(): Iterable<[name: string, atMs: number]>;
  close(): void;
}

/** The gate of a broker without keys and tokens. */
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
  const keys =
    path === undefined ? undefined : await openReloadedFile({ path, setting: 'AIZUMI_API_KEYS_FILE', read, log });
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

/** Opens and closes a gate once, before any worker starts. @throws AccessError that names what is wrong */
export async function tryGate(settings: GateSettings, log: Logger): Promise<void> {
  (await openGate(settings, log)).close();
  if (settings.apiKeysFile !== undefined) await warnOfOpenFile(settings.apiKeysFile, log);
}

/** Bits of a file's mode: what users other than its owner and outside its group may do. */
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
      `every user of this machine may ${may} AIZUMI_API_KEYS_FILE, which grants permissions: run chmod o-rwx on it`,
    );
}

/** The scheme is case-insensitive (RFC 9110). Form and length of the token are not checked yet. */
const BEARER = /^Bearer +(\S+)$/i;
const JWT = /^[\w-]+\.[\w-]+\.[\w-]+$/;

function gateOf(keys: ReloadedFile<Keys> | undefined, tokens: Tokens | undefined): Gate {
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
