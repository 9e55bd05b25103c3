// The version of the data format in Redis. A worker checks it when it connects, so that it never works on data that it would
// misread.
import type { RedisClient } from './connect.js';

/**
 * The version that this code reads and writes. It is raised when a worker of the previous version would misread what the new
 * code writes: another key name, another member of `leases`, a field of an entry that must not be ignored (docs/data-model.md).
 *
 * | version | what changed | what a worker does with the version before |
 * |---|---|---|
 * | 1 | the first version; a database without the key has it too | – |
 *
 * A change that raises it adds a row here and in docs/data-model.md, reads or migrates the older version in
 * {@link dataFormatFault}, raises the stored number there once no older data is left, and adds a data folder written by the
 * last release to test/fixtures.
 */
export const DATA_FORMAT = 1;

export const formatKey = (prefix: string): string => `${prefix}:format`;

/**
 * Reads the version of the data, and writes it where there is none.
 * @returns why this worker must not use the data; undefined when it may
 * @throws Error when Redis cannot be reached
 */
export async function dataFormatFault(redis: RedisClient, keyPrefix: string): Promise<string | undefined> {
  const key = formatKey(keyPrefix);
  // the second command also returns a version that another worker has written since the first
  const version = (await redis.get(key)) ?? (await redis.set(key, DATA_FORMAT, 'NX', 'GET')) ?? String(DATA_FORMAT);
  if (!/^[1-9]\d{0,8}$/.test(version))
    return (
      `the key ${key} in Redis must hold the version of the data format, a number: find out who changed it, and set it to the ` +
      'format of the aizumi that wrote the data (docs/data-model.md)'
    );
  if (Number(version) <= DATA_FORMAT) return undefined;
  return (
    `the data in Redis has format ${version} (key ${key}), and this version of aizumi reads formats up to ${DATA_FORMAT}: ` +
    'run the version of aizumi that wrote it or a newer one; to go back, restore a backup from before the upgrade ' +
    '(docs/operations.md)'
  );
}
