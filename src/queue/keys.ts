// The names of a queue's keys in Redis. docs/data-model.md says what each holds. Pure.

/**
 * Keys of one address share its hash tag, `{100}`: a queue is one slot of a Redis Cluster.
 * https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
export const queueKey = (prefix: string, address: number): string => `${prefix}:{${address}}:queue`;
export const leasesKey = (prefix: string, address: number): string => `${prefix}:{${address}}:leases`;
export const heldKey = (prefix: string, address: number): string => `${prefix}:{${address}}:held`;
export const delayedKey = (prefix: string, address: number): string => `${prefix}:{${address}}:delayed`;
export const deadKey = (prefix: string, address: number): string => `${prefix}:{${address}}:dead`;
/** Deduplicated messages that live. */
export const seenKey = (prefix: string, address: number): string => `${prefix}:{${address}}:seen`;
/** Deduplicated messages that ended: windows of time use these two by turns. */
export const ended0Key = (prefix: string, address: number): string => `${prefix}:{${address}}:ended0`;
export const ended1Key = (prefix: string, address: number): string => `${prefix}:{${address}}:ended1`;
/** Messages given back with a delay. */
export const backedKey = (prefix: string, address: number): string => `${prefix}:{${address}}:backed`;
/** What HELO set for this queue alone. */
export const settingsKey = (prefix: string, address: number): string => `${prefix}:{${address}}:settings`;
export const countsKey = (prefix: string, address: number): string => `${prefix}:{${address}}:counts`;
/** Which deliveries each `attempt_id` took, as long as they are held. */
export const attemptsKey = (prefix: string, address: number): string => `${prefix}:{${address}}:attempts`;
export const sampleKey = (prefix: string, address: number): string => `${prefix}:{${address}}:sample`;

/** Every address that has a queue, member and score both the address. One key for the whole broker. */
export const registryKey = (prefix: string): string => `${prefix}:queues`;
/** Who made each queue, and how many of these each client has made: of the register's slot in a Cluster, by its hash tag. */
export const ownersKey = (prefix: string): string => `${prefix}:{${registryKey(prefix)}}:owners`;
export const madeKey = (prefix: string): string => `${prefix}:{${registryKey(prefix)}}:made`;
