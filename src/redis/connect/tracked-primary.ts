// Two connections to one primary: keys are read on one, and Redis reports changes of those keys on the other.
import type { Redis, RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import { socketOf } from '../private-api.js';

/**
 * The channel on which Redis reports changed keys to a RESP2 connection.
 * https://redis.io/docs/latest/develop/reference/client-side-caching/
 */
const CHANNEL = '__redis__:invalidate';
/** How often both connections are checked with PING, and a refused attempt to track is repeated. */
const BEAT_MS = 1_000;

export interface TrackedOptions {
  open: (options: RedisOptions, isReader: boolean) => Redis;
  log: Logger;
  /** Another client has changed a key that was read; undefined: any of those keys may have changed. */
  onChange: (key: string | undefined) => void;
  /** Tracking has begun: changes of keys that are read from now on are reported. */
  onArmed: () => void;
}

/** One period of uninterrupted tracking: changes of a key that was read in it are reported as long as it lasts. */
export type Session = object;

export class TrackedPrimary {
  readonly reader: Redis;
  readonly #listener: Redis;
  readonly #beat: NodeJS.Timeout;
  /** CLIENT ID of the listener, once it is subscribed. */
  #listenerId: number | undefined;
  #session: Session | undefined;
  #refused = false;

  constructor(private readonly options: TrackedOptions) {
    this.reader = options.open({ connectionName: 'aizumi-waiting' }, true);
    // RESP2 reports on a channel; ioredis 6 drops the push messages that RESP3 uses instead
    const listening = { protocol: 2, autoResubscribe: false } as const;
    this.#listener = options.open({ connectionName: 'aizumi-changes', ...listening }, false);
    this.#listener.on('messageBuffer', (_channel: Buffer, keys: Buffer[] | null) => {
      if (keys === null) options.onChange(undefined);
      else keys.forEach((key) => options.onChange(key.toString()));
    });
    this.#listener.on('ready', () => this.#attempt(this.#listen()));
    this.reader.on('ready', () => this.#attempt(this.#track()));
    this.#listener.on('close', () => {
      this.#listenerId = undefined;
      this.#session = undefined;
    });
    this.reader.on('close', () => (this.#session = undefined));
    // the worker's main connection leads to the same Redis and logs its loss and return
    for (const redis of [this.reader, this.#listener]) redis.on('error', () => undefined);
    this.#beat = setInterval(() => this.#attempt(this.#check()), BEAT_MS).unref();
  }

  /** Each connection begins a new session; undefined while changes are not reported. */
  get session(): Session | undefined {
    return this.#session;
  }

  close(): void {
    clearInterval(this.#beat);
    this.#session = undefined;
    for (const redis of [this.reader, this.#listener]) redis.disconnect();
  }

  async #listen(): Promise<void> {
    const id = await this.#listener.client('ID');
    await this.#listener.subscribe(CHANNEL);
    this.#listenerId = id;
    await this.#track();
  }

  async #track(): Promise<void> {
    const id = this.#listenerId;
    if (id === undefined || this.reader.status !== 'ready') return;
    // in a fail-over one of them may still lead to the old primary, and the new one may have given the id to another client
    if (peerOf(this.reader) !== peerOf(this.#listener)) {
      this.#listener.disconnect(true);
      return;
    }
    // NOLOOP: the reader's own changes are not reported
    await this.reader.client('TRACKING', 'ON', 'REDIRECT', id, 'NOLOOP');
    if (id !== this.#listenerId) return;
    this.#refused = false;
    this.#session = {};
    this.options.onArmed();
  }

  async #check(): Promise<void> {
    const connected = [this.reader, this.#listener].filter(({ status }) => status === 'ready');
    await Promise.all(connected.map((redis) => redis.ping()));
    if (connected.length < 2 || this.#session !== undefined) return;
    await (this.#listenerId === undefined ? this.#listen() : this.#track());
  }

  /** A lost connection repeats the attempt when it returns, so its error is ignored. A refusal is logged once and retried. */
  #attempt(attempt: Promise<unknown>): void {
    attempt.catch((error: unknown) => {
      if (this.#refused || !(error instanceof Error) || error.name !== 'ReplyError') return;
      this.#refused = true;
      this.options.log.warn(
        { error },
        'Redis refuses client tracking: a RECV with wait_ms finds a new message only when its time is up; allow CLIENT TRACKING',
      );
    });
  }
}

function peerOf(redis: Redis): string {
  const { remoteAddress, remotePort } = socketOf(redis);
  return `${remoteAddress}:${remotePort}`;
}
