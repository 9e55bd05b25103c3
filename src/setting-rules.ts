// Settings that are right each alone and must not stand together.
import { BlockList, isIP } from 'node:net';
import type { Settings } from './settings.js';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether only this machine reaches what listens there. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  return version === 0 ? host.toLowerCase() === 'localhost' : LOOPBACK.check(host, version === 4 ? 'ipv4' : 'ipv6');
}

/** @returns what is wrong, in words that begin with a setting's name without AIZUMI_ */
export function contradictions(settings: Settings): string[] {
  const { HOST, ALLOW_ANONYMOUS, API_KEYS_FILE, JWT_ISSUER, JWT_AUDIENCE, JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE } =
    settings;
  const faults: string[] = [];
  const hasJwt = [JWT_ISSUER, JWT_AUDIENCE, JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE].some((value) => value !== undefined);
  if (hasJwt) {
    const needed = 'for JSON Web Tokens, beside AIZUMI_JWT_JWKS_URL or AIZUMI_JWT_PUBLIC_KEY_FILE';
    if (JWT_ISSUER === undefined) faults.push(`JWT_ISSUER is required ${needed}`);
    if (JWT_AUDIENCE === undefined) faults.push(`JWT_AUDIENCE is required ${needed}`);
    if (JWT_JWKS_URL === undefined && JWT_PUBLIC_KEY_FILE === undefined)
      faults.push('JWT_JWKS_URL is required for JSON Web Tokens, or AIZUMI_JWT_PUBLIC_KEY_FILE');
    if (JWT_JWKS_URL !== undefined && JWT_PUBLIC_KEY_FILE !== undefined)
      faults.push('JWT_JWKS_URL and AIZUMI_JWT_PUBLIC_KEY_FILE exclude each other: the keys come from one of them');
  }
  if (!hasJwt && API_KEYS_FILE === undefined && !ALLOW_ANONYMOUS && !isLoopback(HOST))
    faults.push(
      `HOST is ${HOST}, where others than this machine reach aizumi, and nobody would be asked for credentials: ` +
        'name API keys in AIZUMI_API_KEYS_FILE (node dist/key.js makes one), or set AIZUMI_JWT_ISSUER and what belongs to it, ' +
        'or listen on 127.0.0.1; AIZUMI_ALLOW_ANONYMOUS=true if everybody who reaches it may do everything',
    );
  return faults;
}
