// The names of a queue's keys in Redis; docs/data-model.md describes what each holds. Pure.

/**
 * Keys of one address share its hash tag, `{100}`: a queue is one slot of a Redis Cluster.
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
export const queueKey = (prefix: string, address: number): string => `${prefix}:{${address}}:queue`;
export const leasesKey = (prefix: string, address: number): string => `${prefix}:{${address}}:leases`;
export const heldKey = (prefix: string, address: number): string => `${prefix}:{${address}}:held`;
export const delayedKey = (prefix: string, address: number): string => `${prefix}:{${address}}:delayed`;
export const deadKey = (prefix: string, address: number): string => `${prefix}:{${address}}:dead`;
/** Messages sent with dedup that live. */
export const seenKey = (prefix: string, address: number): string => `${prefix}:{${address}}:seen`;
/** Messages sent with dedup that ended: windows of time use these two by turns. */
export const ended0Key = (prefix: string, address: number): string => `${prefix}:{${address}}:ended0`;
export const ended1Key = (prefix: string, address: number): string => `${prefix}:{${address}}:ended1`;
/** Messages given back with a delay. */
export const backedKey = (prefix: string, address: number): string => `${prefix}:{${address}}:backed`;
/** Settings of this queue, made by HELO. */
export const settingsKey = (prefix: string, address: number): string => `${prefix}:{${address}}:settings`;
export const countsKey = (prefix: string, address: number): string => `${prefix}:{${address}}:counts`;
/** The deliveries of each `attempt_id`, as long as they are held. */
export const attemptsKey = (prefix: string, address: number): string => `${prefix}:{${address}}:attempts`;
export const sampleKey = (prefix: string, address: number): string => `${prefix}:{${address}}:sample`;

/** Every address that has a queue, as member and as score. One key for the whole broker. */
export const registryKey = (prefix: string): string => `${prefix}:queues`;
/** The client that created each queue, and how many each has created; the hash tag puts both into the register's slot. */
export const ownersKey = (prefix: string): string => `${prefix}:{${registryKey(prefix)}}:owners`;
export const madeKey = (prefix: string): string => `${prefix}:{${registryKey(prefix)}}:made`;
