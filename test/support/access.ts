// Keys and tokens for tests: files that name them, and an issuer on loopback.
import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT, exportJWK } from 'jose';
import { digestOf, newKey } from '../../src/access/api-key.js';
import type { Entry } from '../../src/access/keys-file.js';
import type { Grants } from '../../src/access/permissions.js';

/** Grants all permissions. */
export const ALL: Grants = { send: ['*'], to: ['*'], receive: ['*'], look: ['*'], administer: ['*'] };

export interface KeysFile {
  readonly folder: string;
  readonly path: string;
  /** The settings of a broker that reads it. */
  readonly env: Record<string, string>;
  /** Creates a key and its entry. @returns the key */
  add(grants: Grants, more?: { name?: string; expires?: string }): string;
  /** Removes the key's entry. */
  remove(key: string): void;
  entries(): readonly Entry[];
  /** Replaces the contents of the file with this text. */
  write(text: string): void;
  delete(): void;
}

export function keysFile(): KeysFile {
  const folder = mkdtempSync(join(tmpdir(), 'aizumi-keys-'));
  const path = join(folder, 'keys.yaml');
  let entries: Entry[] = [];
  const save = (): void => writeFileSync(path, JSON.stringify({ keys: entries }));
  save();
  return {
    folder,
    path,
    env: { AIZUMI_API_KEYS_FILE: path },
    add(grants, more = {}) {
      const key = newKey();
      entries.push({ name: 'a-client', sha256: digestOf(key), ...grants, ...more });
      save();
      return key;
    },
    remove(key) {
      entries = entries.filter(({ sha256 }) => sha256 !== digestOf(key));
      save();
    },
    entries: () => entries,
    write: (text) => writeFileSync(path, text),
    delete: () => rmSync(folder, { recursive: true, force: true }),
  };
}

export const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

export const ISSUER = 'https://issuer.test/';
export const AUDIENCE = 'aizumi.test';

export interface Issuer {
  readonly env: Record<string, string>;
  readonly publicKey: KeyObject;
  /** Number of requests for its keys. */
  readonly asked: number;
  /** @param changes claims to be replaced; undefined: omitted */
  token(
    aizumi: unknown,
    changes?: Record<string, unknown>,
    key?: KeyObject,
    header?: Record<string, unknown>,
  ): Promise<string>;
  /** Bytes that a request for its keys was answered without end with. */
  readonly sent: number;
  /** Sets the reply to requests for its keys from now on. */
  answer(status: number | 'endless'): void;
  /** Signs with another key from now on. */
  rotate(): void;
  /** Its keys cannot be fetched until it opens again. */
  close(): Promise<void>;
  open(): Promise<void>;
}

const newPair = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** An issuer whose keys are at a URL on loopback. */
export async function startIssuer(): Promise<Issuer> {
  let pair = newPair();
  let generation = 1;
  let asked = 0;
  let status: number | 'endless' = 200;
  let sent = 0;
  const server = createServer((_, res) => {
    asked++;
    if (status === 'endless') {
      const part = Buffer.alloc(65_536, ' ');
      const write = (): void => {
        do sent += part.length;
        while (res.write(part) && sent < 1_000_000_000);
        res.once('drain', write);
      };
      write();
      return;
    }
    res.statusCode = status;
    void exportJWK(pair.publicKey).then((jwk) =>
      res.end(JSON.stringify({ keys: [{ ...jwk, kid: `key-${generation}`, alg: 'ES256' }] })),
    );
  });
  let port = 0;
  const open = async (): Promise<void> => {
    await once(server.listen(port, '127.0.0.1'), 'listening');
    ({ port } = server.address() as AddressInfo);
  };
  await open();
  return {
    env: {
      AIZUMI_JWT_ISSUER: ISSUER,
      AIZUMI_JWT_AUDIENCE: AUDIENCE,
      AIZUMI_JWT_JWKS_URL: `http://127.0.0.1:${port}/jwks.json`,
    },
    get publicKey() {
      return pair.publicKey;
    },
    get asked() {
      return asked;
    },
    get sent() {
      return sent;
    },
    token(aizumi, changes = {}, key = pair.privateKey, header = {}) {
      const nowS = Math.floor(Date.now() / 1000);
      const claims = { iss: ISSUER, aud: AUDIENCE, sub: 'somebody', exp: nowS + 60, aizumi, ...changes };
      return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: `key-${generation}`, ...header }).sign(key);
    },
    answer(given) {
      status = given;
    },
    rotate() {
      pair = newPair();
      generation++;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    open,
  };
}
