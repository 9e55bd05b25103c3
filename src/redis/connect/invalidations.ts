// Tracked reads: Redis reports when another client has changed the keys. This is how a waiting RECV wakes (docs/adr/0009).
import { Cluster } from 'ioredis';
import type { Redis, RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import type { Observer } from '../../observe/observer.js';
import { parseRedisAddress } from '../../config/redis-url.js';
import type { RedisAccess } from '../../config/redis-url.js';
import { nodeName, nodeOf, openNode } from './cluster.js';
import type { RedisClient, Script } from './connect.js';
import { redirectionIn } from './detours.js';
import { openPrimary } from './primary.js';
import { refreshSlots } from '../private-api.js';
import { TrackedPrimary } from './tracked-primary.js';
import type { Session } from './tracked-primary.js';
import { watchCommands } from './watch-commands.js';

/** A slot that is being moved is looked at again so often by those who wait. */
const FOLLOW_MS = 100;

export interface InvalidationsOptions {
  url: string;
  access?: RedisAccess | undefined;
  scripts: Record<string, Script>;
  /** As in {@link openPrimary}. */
  keepMs: number;
  log: Logger;
  observer?: Observer | undefined;
}

/** Receives the changes. */
export interface Listener {
  /** A key that was looked at; undefined: any of them. */
  onChange: (key: string | undefined) => void;
  /** Some session has begun: what was looked at before is to be looked at again. */
  onSession: () => void;
}

export class Invalidations {
  readonly #primaries = new Map<string, TrackedPrimary>();
  readonly #address;
  #listener: Listener | undefined;
  #following = false;

  /** @param redis the worker's connection, which knows the primaries. Others are opened when they are needed first. */
  constructor(
    private readonly redis: RedisClient,
    private readonly options: InvalidationsOptions,
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
   * Carries out `read`; the next change of any of `keys` by another client is reported once, as long as the session lasts.
   * A change that `read` itself makes ends that without a word. While the keys' slot is being moved, the read goes to wherever
   * they are, and no change is reported.
   * @param keys of one slot
   * @param read issues its command at once when it is called, so that no change can fall between
   */
  async look<T>(
    keys: [string, ...string[]],
    read: (redis: RedisClient) => Promise<T>,
  ): Promise<{ found: T; isTold: boolean }> {
    const { reader } = this.#primary(nodeOf(this.redis, keys[0]) ?? '');
    const tracked = reader.exists(...keys).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    try {
      // the messages that were read are taken, whether changes are reported or not
      const found = await read(reader);
      const refused = await tracked;
      if (refused !== undefined) this.#follow();
      return { found, isTold: refused === undefined };
    } catch (error) {
      if (redirectionIn(error) === undefined) throw error;
      this.#follow();
      return { found: await read(this.redis), isTold: false };
    }
  }

  close(): void {
    for (const primary of this.#primaries.values()) primary.close();
    this.#primaries.clear();
  }

  /** A slot has moved, or is being moved: soon there is another session for it. */
  #follow(): void {
    if (this.#following) return;
    this.#following = true;
    setTimeout(() => {
      const told = (): void => {
        this.#following = false;
        this.#listener?.onSession();
      };
      if (this.redis instanceof Cluster) refreshSlots(this.redis, told);
      else told();
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
