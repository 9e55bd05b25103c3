// Verifies JSON Web Tokens with jose, and reads from them the client and, in the claim `aizumi`, its permissions.
import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import Joi from 'joi';
import { createRemoteJWKSet, customFetch, errors, jwtVerify } from 'jose';
import type { FetchImplementation, JWTHeaderParameters, JWTPayload, JWTVerifyGetKey } from 'jose';
import type { Logger } from 'pino';
import {
  ISSUER_KEYS_FETCH_MS,
  MAX_ISSUER_KEYS_BYTES,
  MAX_TOKEN_LIFE_S,
  MAX_VERIFIED_TOKENS,
  VERIFIED_TOKEN_MS,
} from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { AccessError, unauthenticated } from './credentials.js';
import type { Admission } from './credentials.js';
import { openReloadedFile } from './reloaded-file.js';
import { GRANTS, accessOf } from './permissions.js';
import type { Access, Grants } from './permissions.js';

export interface JwtSettings {
  issuer: string;
  audience: string;
  /** Exactly one of these two is set. */
  jwksUrl: string | undefined;
  publicKeyFile: string | undefined;
}

export interface Tokens {
  /**
   * @param digest of the token, under which a verification is remembered for a while
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
/** The issuer's keys are fetched so often, beside when a token names one that is not known, ms. */
const REFRESH_MS = 300_000;
/** After a fetch that failed there is none for so long, ms; after one that did not, for a key that is not known. */
const FAILED_COOL_DOWN_MS = 2_000;
const UNKNOWN_KEY_COOL_DOWN_MS = 30_000;
/** Accepted values of `typ`, case-insensitive; RFC 7515 allows to omit its prefix application/. */
const TYPES = ['jwt', 'at+jwt'];

const CLAIM = 'aizumi';
// in an object of its own, so that the path of a fault begins with the claim's name
const claim = Joi.object({ [CLAIM]: Joi.object(GRANTS) }).prefs({
  abortEarly: false,
  convert: false,
  errors: { wrap: { label: false } },
  messages: { 'object.unknown': '{{#label}} is not a permission', 'object.base': '{{#label}} must be an object' },
});

/** @throws AccessError if the public key's file cannot be used */
export async function openTokens(settings: JwtSettings, log: Logger): Promise<Tokens> {
  const known = new Map<string, { access: Access; untilMs: number }>();
  const keys = settings.jwksUrl === undefined ? await fileKey(settings, log, known) : remoteKeys(settings.jwksUrl, log);

  async function verify(token: string, digest: string): Promise<Access> {
    const { issuer, audience } = settings;
    const options = { issuer, audience, algorithms: ALGORITHMS, requiredClaims: ['exp', 'sub'] };
    const { payload, protectedHeader } = await jwtVerify(token, keys.get, options).catch((error: unknown) => {
      throw refusal(error);
    });
    checkUse(protectedHeader, payload);
    const access = accessIn(payload);
    const untilMs = Math.min((payload.exp as number) * 1000, Date.now() + VERIFIED_TOKEN_MS);
    known.delete(digest);
    if (known.size >= MAX_VERIFIED_TOKENS) known.delete(known.keys().next().value as string);
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

/** A changed file is another key, so the tokens that were verified with the old one are forgotten. */
async function fileKey({ publicKeyFile }: JwtSettings, log: Logger, known: Map<string, unknown>): Promise<IssuerKeys> {
  const read = (pem: string): KeyObject => {
    known.clear();
    return publicKeyIn(pem);
  };
  const file = await openReloadedFile({
    path: publicKeyFile as string,
    setting: 'AIZUMI_JWT_PUBLIC_KEY_FILE',
    read,
    log,
  });
  return { get: () => Promise.resolve(file.current), stop: () => file.stop() };
}

function publicKeyIn(pem: string): KeyObject {
  // createPublicKey would extract the public half, but the issuer's private key must not be on this machine
  if (pem.includes('PRIVATE KEY')) throw new AccessError('it must be a public key or a certificate, not a private key');
  try {
    return createPublicKey(pem);
  } catch {
    throw new AccessError('it must be a public key or a certificate, in PEM (-----BEGIN PUBLIC KEY-----)');
  }
}

/**
 * The keys at the issuer's URL. Fetched keys stay valid while the issuer is unreachable. They are refreshed in the background, so
 * that only a request whose token names an unknown key waits for a fetch.
 */
function remoteKeys(url: string, log: Logger): IssuerKeys {
  let notBeforeMs = 0;
  const keys = createRemoteJWKSet(new URL(url), {
    timeoutDuration: ISSUER_KEYS_FETCH_MS,
    cacheMaxAge: Infinity,
    cooldownDuration: UNKNOWN_KEY_COOL_DOWN_MS,
    // jose shares one fetch among all requests, but begins the next as soon as one has failed
    [customFetch]: (...asked: Parameters<FetchImplementation>) =>
      performance.now() < notBeforeMs ? Promise.reject(new CoolingDown()) : fetch(...asked).then(bounded),
  });
  const failed = (error: unknown): void => {
    if (error instanceof CoolingDown) return;
    notBeforeMs = performance.now() + FAILED_COOL_DOWN_MS;
    log.warn({ error }, 'the keys of AIZUMI_JWT_JWKS_URL cannot be fetched');
  };
  const refresh = (): void => void keys.reload().catch(failed);
  // deferred, so that tryGate(), which closes the gate at once, fetches nothing
  const first = setImmediate(refresh);
  const timer = setInterval(refresh, REFRESH_MS).unref();
  const get: JWTVerifyGetKey = async (header, token) => {
    try {
      return await keys(header, token);
    } catch (error) {
      if (TOKEN_FAULTS.some((kind) => error instanceof kind)) throw error;
      failed(error);
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

/** @returns the response with its body read. @throws Error if the body is over the limit */
async function bounded(response: Response): Promise<Response> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    parts.push(part as Uint8Array);
    if ((size += (part as Uint8Array).length) > MAX_ISSUER_KEYS_BYTES)
      throw new Error(`the issuer's keys are over ${MAX_ISSUER_KEYS_BYTES} bytes`);
  }
  return new Response(Buffer.concat(parts), response);
}

class CoolingDown extends Error {}

/** Errors of jose that are the token's fault: the keys were fetched, and none of them fits. */
const TOKEN_FAULTS = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported];

/** Checks of a token with a valid signature that it is meant for requests, and that it expires within a year. */
function checkUse({ typ }: JWTHeaderParameters, { exp }: JWTPayload): void {
  // of unknown type, since jose does not check it
  const type: unknown = typ;
  const isKnown = typeof type === 'string' && TYPES.includes(type.toLowerCase().replace('application/', ''));
  if (type !== undefined && !isKnown)
    throw unauthenticated('this token is for something else: its typ must be JWT or at+jwt, or missing');
  if ((exp as number) - Date.now() / 1_000 > MAX_TOKEN_LIFE_S)
    throw unauthenticated('this token lives too long: its claim exp must be within a year');
}

/** Turns an error of jose into this protocol's error. */
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
  if (typeof sub !== 'string' || sub === '')
    throw unauthenticated('this token is not for here: its claim sub is missing or not what it must be');
  const { error } = claim.validate({ [CLAIM]: grants });
  if (error) throw unauthenticated(`this token is not valid: ${error.message}`);
  return accessOf(sub, grants as Grants);
}
