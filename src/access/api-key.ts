// What an API key is, and its digest, which is all that aizumi keeps of one.
import { hash, randomBytes } from 'node:crypto';

/** So that scanners of repositories and logs know one when they see it. */
const PREFIX = 'aizumi_';
const BYTES = 32;

/** @returns a new key: 256 random bits, base64url */
export const newKey = (): string => PREFIX + randomBytes(BYTES).toString('base64url');

/** SHA-256, hex. A key is random: nobody finds it by its digest, and no slower hash is needed, as for a password it would be. */
export const digestOf = (key: string): string => hash('sha256', key, 'hex');

/** For what may have a key in it by somebody's mistake. */
export const withoutKeys = (text: string): string => text.replaceAll(/aizumi_[\w-]{8,}/g, 'aizumi_…');
