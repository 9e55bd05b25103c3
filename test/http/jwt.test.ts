// JSON Web Tokens over HTTP, from an issuer on loopback.
import { createHmac, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { AccessError } from '../../src/access/credentials.js';
import { ALL, bearer, keysFile, startIssuer } from '../support/access.js';
import type { Issuer } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { Reply, TestBroker } from '../../harness/broker.js';
import { heloRequest, sendRequest } from '../../harness/requests.js';
import { until } from '../../harness/until.js';

const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const nowS = (): number => Math.floor(Date.now() / 1000);
const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
const wire = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url');
const messageOf = ({ json }: Reply): string => (json.error as { message: string }).message;

describe('http: JSON Web Tokens', () => {
  let issuer: Issuer;
  let broker: TestBroker | undefined;

  beforeEach(async () => void (issuer = await startIssuer()));
  afterEach(async () => {
    await broker?.stop();
    broker = undefined;
    await issuer.close().catch(() => undefined); // a test may have closed it
  });

  async function start(env: Record<string, string> = issuer.env): Promise<void> {
    broker = await startBroker(env);
  }
  const ask = (token: string, request: object = heloRequest(100)): Promise<Reply> =>
    broker!.post(request, bearer(token));

  it('allow exactly what their claim aizumi grants', async () => {
    await start();
    const token = await issuer.token({ send: [100, '200-299'], to: [7], receive: ['*'] });
    expect((await ask(token, sendRequest(7, 1, 'x', 250))).status).to.equal(200);
    expect((await ask(token, sendRequest(7, 1, 'x', 101))).status).to.equal(403);
    expect((await ask(token, sendRequest(8, 1, 'x', 100))).status).to.equal(403);
    expect((await ask(token)).status).to.equal(200);
    expect((await fetch(`${broker!.url}queues`, { headers: bearer(token) })).status).to.equal(403);
    expect((await ask(await issuer.token(undefined))).status, 'without the claim').to.equal(403);
  });

  for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt', undefined])
    it(`are accepted with ${typ === undefined ? 'no typ' : `the typ ${typ}`}`, async () => {
      await start();
      expect((await ask(await issuer.token(ALL, {}, undefined, { typ }))).status).to.equal(200);
    });

  /** A token with a claim that jose refuses to sign. */
  function signed(claims: object): Promise<string> {
    const { AIZUMI_JWT_ISSUER: iss, AIZUMI_JWT_AUDIENCE: aud } = issuer.env;
    return issuer.token(ALL, { iss, aud, ...claims });
  }

  const bad: Record<string, [token: () => Promise<string>, message: RegExp]> = {
    'that has expired': [() => issuer.token(ALL, { exp: nowS() - 1 }), /^this token has expired/],
    'that never expires': [() => issuer.token(ALL, { exp: undefined }), /its claim exp is missing/],
    'that is not good yet': [() => issuer.token(ALL, { nbf: nowS() + 60 }), /its claim nbf /],
    'that ends in more than a year': [
      () => issuer.token(ALL, { exp: nowS() + 367 * 86_400 }),
      /exp must be within a year/,
    ],
    'that ends after all else': [() => issuer.token(ALL, { exp: 1e300 }), /exp must be within a year/],
    'whose end is no number': [() => signed({ exp: String(nowS() + 60) }), /its claim exp /],
    'whose end is no time': [() => signed({ exp: null }), /its claim exp /],
    'that logs somebody out': [
      () => issuer.token(ALL, {}, undefined, { typ: 'logout+jwt' }),
      /its typ must be JWT or at\+jwt, or missing$/,
    ],
    'that proves a key': [() => issuer.token(ALL, {}, undefined, { typ: 'dpop+jwt' }), /its typ must be /],
    'of another issuer': [() => issuer.token(ALL, { iss: 'https://other.test/' }), /its claim iss /],
    'for somebody else': [() => issuer.token(ALL, { aud: 'other' }), /its claim aud /],
    'of nobody': [() => issuer.token(ALL, { sub: undefined }), /its claim sub is missing/],
    'signed with another key': [() => issuer.token(ALL, {}, newKey()), /its signature$/],
    'whose claim is no permission': [
      () => issuer.token({ sned: [1] }),
      /^this token is not valid: aizumi.sned is not a permission$/,
    ],
    'whose claim has no addresses': [
      () => issuer.token({ send: ['x'] }),
      /^this token is not valid: aizumi.send\[0\] must be an address/,
    ],
    'that was changed': [
      async () => {
        const [head, , signature] = (await issuer.token({})).split('.');
        const claims = {
          iss: issuer.env.AIZUMI_JWT_ISSUER,
          aud: issuer.env.AIZUMI_JWT_AUDIENCE,
          sub: 'x',
          exp: nowS() + 9,
        };
        return `${head}.${wire({ ...claims, aizumi: ALL })}.${signature}`;
      },
      /its signature$/,
    ],
    'without a signature': [
      () => Promise.resolve(`${wire({ alg: 'none' })}.${wire({ exp: nowS() + 9, aizumi: ALL })}.x`),
      /its algorithm or its signature$/,
    ],
    'signed with the public key as a secret': [
      () => {
        const signed = `${wire({ alg: 'HS256' })}.${wire({ exp: nowS() + 9, aizumi: ALL })}`;
        const mac = createHmac('sha256', pemOf(issuer.publicKey)).update(signed).digest('base64url');
        return Promise.resolve(`${signed}.${mac}`);
      },
      /its algorithm or its signature$/,
    ],
    'whose typ is no text': [() => issuer.token({}, {}, undefined, { typ: 1 }), /its typ must be JWT/],
    'whose subject is no text': [() => issuer.token({}, { sub: { a: 1 } }), /its claim sub is missing or not/],
    'whose subject is empty': [() => issuer.token({}, { sub: '' }), /its claim sub is missing or not/],
    'with an invalid form': [() => Promise.resolve('a.b.c'), /its form, /],
  };
  for (const [which, [make, message]] of Object.entries(bad))
    it(`are refused with 401: one ${which}`, async () => {
      await start();
      const answer = await ask(await make());
      expect([answer.status, answer.headers.get('www-authenticate')]).to.deep.equal([401, 'Bearer']);
      expect(messageOf(answer)).to.match(message);
    });

  it('are accepted until they expire, on open connections too', async () => {
    await start();
    const token = await issuer.token(ALL, { exp: nowS() + 2 });
    const statuses: number[] = [];
    await until(
      'the token has expired',
      async () => statuses.push((await ask(token)).status) && statuses.at(-1) === 401,
    );
    expect(statuses[0]).to.equal(200);
  });

  it('can be used beside API keys', async () => {
    const file = keysFile();
    const key = file.add(ALL);
    await start({ ...issuer.env, ...file.env });
    for (const credential of [key, await issuer.token(ALL)]) expect((await ask(credential)).status).to.equal(200);
    expect(messageOf(await broker!.post(heloRequest(1)))).to.equal(
      'send Authorization: Bearer with an API key or a JSON Web Token',
    );
    file.delete();
  });

  describe('verified with keys from a URL', () => {
    it('are answered 503 until the keys have been fetched, then accepted', async () => {
      const token = await issuer.token(ALL);
      await issuer.close();
      await start();
      const answer = await ask(token);
      expect([answer.status, answer.json.error]).to.deep.include.members([503]);
      expect(answer.json.error).to.include({ reason: 'unavailable', outcome: 'not_done' });
      expect(answer.headers.get('retry-after')).to.equal('1');
      await issuer.open();
      await until('the keys have been fetched', async () => (await ask(token)).status === 200);
    });

    it('stay accepted while the issuer is unreachable', async () => {
      await start();
      expect((await ask(await issuer.token(ALL))).status).to.equal(200);
      await issuer.close();
      expect((await ask(await issuer.token(ALL, { sub: 'another' }))).status).to.equal(200);
    });

    it('do not cause a fetch of the keys for each token', async () => {
      await start();
      for (let i = 0; i < 5; i++) expect((await ask(await issuer.token(ALL, { sub: String(i) }))).status).to.equal(200);
      issuer.rotate();
      for (let i = 0; i < 5; i++) expect((await ask(await issuer.token(ALL))).status).to.equal(401);
      expect(issuer.asked, 'a token that names another key makes nobody ask again at once').to.equal(1);
    });
  });

  describe('whose issuer fails', () => {
    it('by sending an endless response, are answered 503, and the worker reads only a bounded part of it', async () => {
      issuer.answer('endless');
      await start();
      expect((await ask(await issuer.token(ALL))).status).to.equal(503);
      expect(issuer.sent).to.be.below(20_000_000);
      issuer.answer(200);
      await until(
        'the keys are fetched again',
        async () => (await ask(await issuer.token(ALL))).status === 200,
        10_000,
      );
    });

    for (const [what, status] of [
      ['unreachable', undefined],
      ['broken', 500],
    ] as const)
      it(`by being ${what}, do not cause a fetch for each token with an unknown key`, async () => {
        const known = await issuer.token(ALL);
        if (status === undefined) {
          await issuer.close();
          await start({ ...issuer.env, AIZUMI_JWT_JWKS_URL: `${issuer.env.AIZUMI_JWT_JWKS_URL!}?secret=x` });
        } else {
          issuer.answer(status);
          await start();
        }
        const sinceMs = performance.now();
        for (let round = 0; round < 10; round++) {
          const tokens = await Promise.all(
            Array.from({ length: 20 }, (_, i) => issuer.token(ALL, {}, undefined, { kid: `none-${round}-${i}` })),
          );
          for (const answer of await Promise.all(tokens.map((token) => ask(token))))
            expect(answer.status).to.equal(503);
        }
        // one fetch at the start, perhaps one for the first token, and one after each cool-down
        if (status !== undefined)
          expect(issuer.asked).to.be.at.most(2 + Math.ceil((performance.now() - sinceMs) / 2_000));
        if (status === undefined) await issuer.open();
        else issuer.answer(200);
        await until('the keys are fetched again', async () => (await ask(known)).status === 200, 10_000);
      });

    it('stay accepted where their key is known, whatever keys other tokens name', async () => {
      await start();
      const known = await issuer.token(ALL);
      expect((await ask(known)).status).to.equal(200);
      issuer.answer(500);
      for (let i = 0; i < 5; i++) {
        const stranger = await ask(await issuer.token(ALL, {}, undefined, { kid: `none-${i}` }));
        expect(stranger.status).to.be.oneOf([401, 503]);
        expect((await ask(await issuer.token(ALL, { sub: `other-${i}` }))).status).to.equal(200);
      }
      expect(issuer.asked).to.be.at.most(2);
    });
  });

  describe('verified with a key from a file', () => {
    let folder: string;
    const path = (): string => join(folder, 'issuer.pem');
    const env = (): Record<string, string> => {
      const { AIZUMI_JWT_JWKS_URL: _, ...rest } = issuer.env;
      return { ...rest, AIZUMI_JWT_PUBLIC_KEY_FILE: path() };
    };
    beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'aizumi-jwt-'))));
    afterEach(() => rmSync(folder, { recursive: true }));

    it('are accepted, also those of a new key after the file has changed', async () => {
      writeFileSync(path(), pemOf(issuer.publicKey));
      await start(env());
      const old = await issuer.token(ALL);
      expect((await ask(old)).status).to.equal(200);
      issuer.rotate();
      writeFileSync(path(), pemOf(issuer.publicKey));
      const next = await issuer.token(ALL);
      await until('the new key is used', async () => (await ask(next)).status === 200);
      expect((await ask(old)).status).to.equal(401);
    });

    it('keep a worker from starting if the file is not a public key', async () => {
      const texts = ['', 'hello', newKey().export({ type: 'pkcs8', format: 'pem' }).toString()];
      for (const text of texts) {
        writeFileSync(path(), text);
        const error = await startBroker(env()).catch((reason: unknown) => reason);
        expect(error).to.be.instanceOf(AccessError);
        expect((error as Error).message).to.match(
          /^AIZUMI_JWT_PUBLIC_KEY_FILE cannot be used \(.*\):\nit must be a public key/,
        );
      }
    });
  });
});
