// Reads /etc/hosts, and the rules of /etc/resolv.conf for short names: of both files Node's c-ares reads only the name servers.
import type { LookupAddress } from 'node:dns';
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';

export interface Search {
  /** Domains that are appended to a name, in this order. */
  domains: string[];
  /** A name with at least this many dots is first looked up as it is. */
  ndots: number;
}

/** https://man7.org/linux/man-pages/man5/resolv.conf.5.html */
const MOST_NDOTS = 15;

/**
 * Caches a file's parsed content, and reads it again when it has changed. Reading is synchronous: it takes microseconds, and must
 * not wait for a thread of the pool. A missing file counts as empty.
 */
export function cachedFile<T>(path: string, parse: (text: string) => T): () => T {
  let known: { version: string; content: T } | undefined;
  return () => {
    const version = versionOf(path);
    if (known?.version !== version) known = { version, content: parse(version === '' ? '' : textOf(path)) };
    return known.content;
  };
}

function versionOf(path: string): string {
  const file = statSync(path, { throwIfNoEntry: false });
  return file === undefined ? '' : `${file.ino} ${file.size} ${file.mtimeMs}`;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // DNS is queried then
  }
}

/** @returns addresses by name, in lower case */
export function parseHosts(text: string): Map<string, LookupAddress[]> {
  const byName = new Map<string, LookupAddress[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const family = isIP(address);
    if (family === 0) continue;
    for (const name of names.map((each) => each.toLowerCase()))
      byName.set(name, [...(byName.get(name) ?? []), { address, family }]);
  }
  return byName;
}

export function parseSearch(text: string): Search {
  const search: Search = { domains: [], ndots: 1 };
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line.trim().split(/\s+/);
    // resolv.conf(5): the last of these lines counts
    if (keyword === 'search' || keyword === 'domain')
      search.domains = words.map((word) => word.replace(/\.$/, '')).filter((word) => word !== '');
    if (keyword !== 'options') continue;
    for (const [, ndots] of words.join(' ').matchAll(/\bndots:(\d+)/g))
      search.ndots = Math.min(Number(ndots), MOST_NDOTS);
  }
  return search;
}

/** The full names that a name may stand for, in the order in which they are looked up. */
export function candidates(name: string, { domains, ndots }: Search): string[] {
  if (name.endsWith('.')) return [name];
  const full = domains.map((domain) => `${name}.${domain}`);
  const dots = name.split('.').length - 1;
  return dots >= ndots ? [name, ...full] : [...full, name];
}
