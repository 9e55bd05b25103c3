// Settings that are right alone and wrong together.
import { describeLogin } from './redis-address.js';
import type { Settings } from './settings.js';

/** @returns a line for each fault, in which settings are named without AIZUMI_ at its start; none if all is well */
export function faultsTogether(settings: Settings): string[] {
  return [...needs(settings), ...redisFaults(settings)];
}

type Name = keyof Settings;

/** The first means nothing without the second. */
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
