// Tracked reads: Redis reports when another client has changed the keys. This is how a waiting RECV wakes (docs/adr/0009).
import { Cluster } from 'ioredis';
import type { Redis, RedisOptions } from 'ioredis';
import { parseRedisAddress } from '../../config/redis-url.js';
import { nodeName, nodeOf, openNode } from './cluster.js';
import type { ConnectOptions, RedisClient } from './connect.js';
import { redirectionIn } from './detours.js';
import { openPrimary } from './primary.js';
import { refreshSlots } from '../private-api.js';
import { TrackedPrimary } from './tracked-primary.js';
import type { Session } from './tracked-primary.js';
import { watchCommands } from './watch-commands.js';

/** While a slot is being moved, waiters poll its keys again this often. */
const FOLLOW_MS = 100;

/** Is notified of changes. */
export interface Listener {
  /** A key that was read has changed; undefined: any of them may have. */
  onChange: (key: string | undefined) => void;
  /** A session has begun: keys that were read before it must be read again. */
  onSession: () => void;
}

export class Invalidations {
  readonly #primaries = new Map<string, TrackedPrimary>();
  readonly #address;
  #listener: Listener | undefined;
  #following = false;

  /** @param redis the worker's connection, which knows the primaries. Connections to each are opened at the first read. */
  constructor(
    private readonly redis: RedisClient,
    private readonly options: ConnectOptions,
  ) {
    this.#address = parseRedisAddress(options.url, options.access);
    redis.on('-node', (gone: Redis) => this.#close(nodeName(gone.options)));
  }

  listen(listener: Listener): void {
    this.#listener = listener;
  }

  /** The session that a read of `key` would belong to now; undefined while its changes are not reported. */
  session(key: string): Session | undefined {
    const node = nodeOf(this.redis, key);
    return node === undefined ? undefined : this.#primary(node).session;
  }

  /**
   * Carries out `read`, and has the next change of any of `keys` by another client reported once, as long as the session lasts.
   * A change that `read` itself makes ends the tracking without a report. While the keys' slot is being moved, the read is sent
   * to the node that has them, and no change is reported.
   * @param keys all in one slot
   * @param read issues its command at once when it is called, so that no change can come between tracking and reading
   */
  async trackedRead<T>(
    keys: [string, ...string[]],
    read: (redis: RedisClient) => Promise<T>,
  ): Promise<{ found: T; isTracked: boolean }> {
    const { reader } = this.#primary(nodeOf(this.redis, keys[0]) ?? '');
    const tracked = reader.exists(...keys).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    try {
      // `read` may have leased messages, so its result counts whether changes are reported or not
      const found = await read(reader);
      const refused = await tracked;
      if (refused !== undefined) this.#follow();
      return { found, isTracked: refused === undefined };
    } catch (error) {
      if (redirectionIn(error) === undefined) throw error;
      this.#follow();
      return { found: await read(this.redis), isTracked: false };
    }
  }

  close(): void {
    for (const primary of this.#primaries.values()) primary.close();
    this.#primaries.clear();
  }

  /** A slot has moved or is being moved: after a pause, refreshes the map of slots and has waiters read again. */
  #follow(): void {
    if (this.#following) return;
    this.#following = true;
    setTimeout(() => {
      const readAgain = (): void => {
        this.#following = false;
        this.#listener?.onSession();
      };
      if (this.redis instanceof Cluster) refreshSlots(this.redis, readAgain);
      else readAgain();
    }, FOLLOW_MS).unref();
  }

  #primary(node: string): TrackedPrimary {
    const known = this.#primaries.get(node);
    if (known) return known;
    const primary = new TrackedPrimary({
      open: (options, isReader) => this.#open(node, options, isReader),
      log: this.options.log,
      onChange: (key) => this.#listener?.onChange(key),
      onArmed: () => this.#listener?.onSession(),
    });
    this.#primaries.set(node, primary);
    return primary;
  }

  #open(node: string, options: RedisOptions, isReader: boolean): Redis {
    const all = { ...options, scripts: this.options.scripts };
    const address = this.#address;
    const keepMs = isReader ? this.options.keepMs : 0;
    const redis = address.shape === 'cluster' ? openNode(address, node, all) : openPrimary(address, all, keepMs);
    watchCommands(redis, this.options.observer?.connections.waiting);
    return redis;
  }

  #close(node: string): void {
    this.#primaries.get(node)?.close();
    this.#primaries.delete(node);
  }
}
