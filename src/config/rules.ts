// Rules between settings: combinations that are refused although each setting by itself is valid.
import { BlockList, isIP } from 'node:net';
import { describeLogin } from './redis-url.js';
import type { Settings } from './settings.js';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether a server that listens on `host` can be reached only from this machine. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  return version === 0 ? host.toLowerCase() === 'localhost' : LOOPBACK.check(host, version === 4 ? 'ipv4' : 'ipv6');
}

/** @returns a message for each fault; it begins with a setting's name without AIZUMI_ */
export function contradictions(settings: Settings): string[] {
  return [...needs(settings), ...redisFaults(settings), ...tokenFaults(settings), ...openFaults(settings)];
}

type Name = keyof Settings;

/** The first setting of each pair requires the second. */
const NEEDED: [Name, Name][] = [
  ['TLS_CERT_FILE', 'TLS_KEY_FILE'],
  ['TLS_KEY_FILE', 'TLS_CERT_FILE'],
  ['TLS_CLIENT_CA_FILE', 'TLS_CERT_FILE'],
  ['REDIS_CERT_FILE', 'REDIS_KEY_FILE'],
  ['REDIS_KEY_FILE', 'REDIS_CERT_FILE'],
  ['REDIS_USERNAME', 'REDIS_URL'],
  ['REDIS_PASSWORD_FILE', 'REDIS_URL'],
  ['REDIS_CA_FILE', 'REDIS_URL'],
  ['REDIS_CERT_FILE', 'REDIS_URL'],
];

const needs = (settings: Settings): string[] =>
  NEEDED.filter(([name, needed]) => settings[name] !== undefined && settings[needed] === undefined).map(
    ([name, needed]) => `${name} needs AIZUMI_${needed}`,
  );

function redisFaults(settings: Settings): string[] {
  if (settings.REDIS_URL === undefined) return [];
  const { tls, username, password } = describeLogin(settings.REDIS_URL);
  const faults: string[] = [];
  for (const name of ['REDIS_CA_FILE', 'REDIS_CERT_FILE'] as const)
    if (!tls && settings[name] !== undefined)
      faults.push(`${name} is for TLS: AIZUMI_REDIS_URL must start with rediss:// or rediss+`);
  if (username && settings.REDIS_USERNAME !== undefined)
    faults.push('REDIS_USERNAME and a user in AIZUMI_REDIS_URL: give one of them');
  if (password && settings.REDIS_PASSWORD_FILE !== undefined)
    faults.push('REDIS_PASSWORD_FILE and a password in AIZUMI_REDIS_URL: give one of them');
  return faults;
}

const hasTokens = ({ JWT_ISSUER, JWT_AUDIENCE, JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE }: Settings): boolean =>
  [JWT_ISSUER, JWT_AUDIENCE, JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE].some((value) => value !== undefined);

function tokenFaults(settings: Settings): string[] {
  if (!hasTokens(settings)) return [];
  const { JWT_ISSUER, JWT_AUDIENCE, JWT_JWKS_URL, JWT_PUBLIC_KEY_FILE } = settings;
  const faults: string[] = [];
  const needed = 'for JSON Web Tokens, beside AIZUMI_JWT_JWKS_URL or AIZUMI_JWT_PUBLIC_KEY_FILE';
  if (JWT_ISSUER === undefined) faults.push(`JWT_ISSUER is required ${needed}`);
  if (JWT_AUDIENCE === undefined) faults.push(`JWT_AUDIENCE is required ${needed}`);
  if (JWT_JWKS_URL === undefined && JWT_PUBLIC_KEY_FILE === undefined)
    faults.push('JWT_JWKS_URL is required for JSON Web Tokens, or AIZUMI_JWT_PUBLIC_KEY_FILE');
  if (JWT_JWKS_URL !== undefined && JWT_PUBLIC_KEY_FILE !== undefined)
    faults.push('JWT_JWKS_URL and AIZUMI_JWT_PUBLIC_KEY_FILE exclude each other: the keys come from one of them');
  return faults;
}

function openFaults(settings: Settings): string[] {
  const { HOST, ALLOW_ANONYMOUS, API_KEYS_FILE } = settings;
  if (hasTokens(settings) || API_KEYS_FILE !== undefined || ALLOW_ANONYMOUS || isLoopback(HOST)) return [];
  return [
    `HOST is ${HOST}, where other machines can reach aizumi, and no client would need credentials: ` +
      'name API keys in AIZUMI_API_KEYS_FILE (node dist/bin/key.js makes one), or set AIZUMI_JWT_ISSUER and what it needs, ' +
      'or listen on 127.0.0.1; set AIZUMI_ALLOW_ANONYMOUS=true if everybody who can reach it may do everything',
  ];
}
