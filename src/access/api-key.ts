// Makes API keys and their digests; aizumi stores only the digests.
import { hash, randomBytes } from 'node:crypto';

/** Lets scanners of repositories and logs recognize a key. */
const PREFIX = 'aizumi_';
const BYTES = 32;

/** @returns a new key: 256 random bits, base64url */
export const newKey = (): string => PREFIX + randomBytes(BYTES).toString('base64url');

/** SHA-256, hex. Keys are random, so they cannot be guessed from a digest as passwords can, and no slower hash is needed. */
export const digestOf = (key: string): string => hash('sha256', key, 'hex');

/** Masks keys in a text that may contain one by mistake. */
export const withoutKeys = (text: string): string => text.replaceAll(/aizumi_[\w-]{8,}/g, 'aizumi_…');
