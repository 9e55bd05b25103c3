// What a broker has stored: its raw keys in Redis.
import { Redis } from 'ioredis';
import type { Config } from '../../src/config/config.js';

export interface Store {
  /** The bare client. */
  readonly raw: Redis;
  /** Names of the broker's keys, without the prefix, sorted; without `format`, which every worker writes when it starts. */
  keys(): Promise<string[]>;
  /** Everything that the broker has stored; equal exactly when nothing was changed in between. */
  contents(): Promise<Record<string, string>>;
  /** The key's full name. */
  key(name: string): string;
  close(): void;
}

export function openStore({ redisUrl, keyPrefix }: Config): Store {
  const raw = new Redis(redisUrl!);
  const key = (name: string): string => `${keyPrefix}:${name}`;
  const keys = async (): Promise<string[]> =>
    (await raw.keys(key('*')))
      .map((name) => name.slice(keyPrefix.length + 1))
      .filter((name) => name !== 'format')
      .sort();
  return {
    raw,
    key,
    keys,
    async contents() {
      const names = await keys();
      const dumps = await Promise.all(names.map((name) => raw.dumpBuffer(key(name))));
      return Object.fromEntries(names.map((name, i) => [name, dumps[i]?.toString('base64') ?? '']));
    },
    close: () => raw.disconnect(),
  };
}
