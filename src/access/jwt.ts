// A JSON Web Token → who sent it and what it may do, by its claim `aizumi`. jose does the cryptography.
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import Joi from 'joi';
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import type { Logger } from 'pino';
import { BrokerError } from '../errors.js';
import { AccessError, unauthenticated } from './credentials.js';
import type { Admission } from './credentials.js';
import { followFile } from './followed-file.js';
import { GRANTS, accessOf } from './permissions.js';
import type { Access, Grants } from './permissions.js';

export interface JwtSettings {
  issuer: string;
  audience: string;
  /** One of the two. */
  jwksUrl: string | undefined;
  publicKeyFile: string | undefined;
}

export interface Tokens {
  /**
   * @param digest of the token: what was verified once is known by it for a while
   * @throws BrokerError unauthenticated; unavailable when the issuer's keys cannot be fetched
   */
  admit(token: string, digest: string): Admission;
  stop(): void;
}

/** Asymmetric only: a verifier that accepts HS256 accepts tokens signed with the public key. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
/** Tokens known by their digests; the one that came first is forgotten first. */
const MOST_KNOWN = 10_000;
/** A token is verified anew after this time, so that an issuer's key that was withdrawn is not trusted for long, ms. */
const KNOWN_MS = 60_000;
/** The issuer's keys are fetched so often, beside when a token names one that is not known, ms. */
const REFRESH_MS = 300_000;
const FETCH_MS = 3_000;

const CLAIM = 'aizumi';
// in an object of its own, so that a fault's place begins with its name
const claim = Joi.object({ [CLAIM]: Joi.object(GRANTS) }).prefs({
  abortEarly: false,
  convert: false,
  errors: { wrap: { label: false } },
  messages: { 'object.unknown': '{{#label}} is not a permission', 'object.base': '{{#label}} must be an object' },
});

/** @throws AccessError when the public key's file cannot be used */
export async function openTokens(settings: JwtSettings, log: Logger): Promise<Tokens> {
  const known = new Map<string, { access: Access; untilMs: number }>();
  const keys = settings.jwksUrl === undefined ? await fileKey(settings, log, known) : remoteKeys(settings.jwksUrl, log);

  async function verify(token: string, digest: string): Promise<Access> {
    const { issuer, audience } = settings;
    const options = { issuer, audience, algorithms: ALGORITHMS, requiredClaims: ['exp', 'sub'] };
    const { payload } = await jwtVerify(token, keys.get, options).catch((error: unknown) => {
      throw refusal(error);
    });
    const access = accessIn(payload);
    const untilMs = Math.min((payload.exp as number) * 1000, Date.now() + KNOWN_MS);
    known.delete(digest);
    if (known.size >= MOST_KNOWN) known.delete(known.keys().next().value as string);
    known.set(digest, { access, untilMs });
    return access;
  }

  return {
    admit(token, digest) {
      const found = known.get(digest);
      return found && found.untilMs > Date.now() ? found.access : verify(token, digest);
    },
    stop: () => keys.stop(),
  };
}

interface IssuerKeys {
  get: JWTVerifyGetKey;
  stop(): void;
}

/** A file that changes is another key: tokens of the old one are worth nothing then. */
async function fileKey({ publicKeyFile }: JwtSettings, log: Logger, known: Map<string, unknown>): Promise<IssuerKeys> {
  const read = (pem: string): KeyObject => {
    known.clear();
    return publicKeyIn(pem);
  };
  const file = await followFile({
    path: publicKeyFile as string,
    setting: 'AIZUMI_JWT_PUBLIC_KEY_FILE',
    read,
    log,
  });
  return { get: () => Promise.resolve(file.current), stop: () => file.stop() };
}

function publicKeyIn(pem: string): KeyObject {
  // createPublicKey would take one half of it, and the issuer's private key has no business here
  if (pem.includes('PRIVATE KEY')) throw new AccessError('it must be a public key or a certificate, not a private key');
  try {
    return createPublicKey(pem);
  } catch {
    throw new AccessError('it must be a public key or a certificate, in PEM (-----BEGIN PUBLIC KEY-----)');
  }
}

/**
 * Keys that were fetched stay good while the issuer is away. Refreshed in the background, so that no request waits for it
 * but one whose token names a key that is not known.
 */
function remoteKeys(url: string, log: Logger): IssuerKeys {
  const keys = createRemoteJWKSet(new URL(url), { timeoutDuration: FETCH_MS, cacheMaxAge: Infinity });
  const refresh = (): void =>
    void keys
      .reload()
      .catch((error: unknown) => log.warn({ error }, 'the keys of AIZUMI_JWT_JWKS_URL cannot be fetched'));
  // not for one that is opened only to see whether it can be
  const first = setImmediate(refresh);
  const timer = setInterval(refresh, REFRESH_MS).unref();
  const get: JWTVerifyGetKey = async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      if (OF_THE_TOKEN.some((kind) => error instanceof kind)) throw error;
      throw new BrokerError('unavailable', "the keys of the token's issuer cannot be fetched: try again", {
        retryAfterS: 1,
        outcome: 'not_done',
        cause: error,
      });
    }
  };
  const stop = (): void => {
    clearImmediate(first);
    clearInterval(timer);
  };
  return { get, stop };
}

/** What jose throws when the keys are there, and none of them is the token's. */
const OF_THE_TOKEN = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported];

/** What jose says of a token, in this protocol's words. */
function refusal(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error;
  if (error instanceof errors.JWTExpired)
    return unauthenticated('this token has expired: ask its issuer for a new one');
  if (error instanceof errors.JWTClaimValidationFailed)
    return unauthenticated(`this token is not for here: its claim ${error.claim} is missing or not what it must be`);
  if (error instanceof errors.JWKSNoMatchingKey)
    return unauthenticated('this token is signed with a key that its issuer does not publish');
  return unauthenticated('this token is not valid: its form, its algorithm or its signature');
}

function accessIn({ sub, [CLAIM]: grants = {} }: JWTPayload): Access {
  const { error } = claim.validate({ [CLAIM]: grants });
  if (error) throw unauthenticated(`this token is not valid: ${error.message}`);
  return accessOf(String(sub), grants as Grants);
}
