// Connects ioredis to the primary that the Sentinels name, and leaves a primary that was replaced.
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector } from 'ioredis';
import type { Redis } from 'ioredis';
import { lookUp } from '../../names/host-names.js';
import type { Host, SentinelAddress } from '../../config/redis-url.js';
import { FAIL_FAST, RECONNECT_MS } from './connection-options.js';
import { loginOptions } from './login.js';
import { CLOSED } from '../private-api.js';
import { openSentinel, primaryBySentinel } from '../replication/sentinel.js';
import type { Word } from '../replication/sentinel.js';

const LISTEN_AGAIN_MS = 1_000;

/**
 * ioredis's own SentinelConnector takes the first Sentinel's word: after a fail-over that this one has not heard of, an old
 * primary that came back. Here all of them are asked at once, and the latest fail-over that any of them knows of counts.
 * Dead and hung ones are not waited for longer than ASK_MS; one that answers is enough.
 */
export class PrimaryConnector extends AbstractConnector {
  /** Of the words heard since the connection was last looked for. */
  #latest: Word | undefined;
  #connectedTo: Word | undefined;
  #listeners: Redis[] = [];

  /** @param onReplaced the connection leads to a node that is the primary no longer: it is to be left */
  constructor(
    private readonly address: SentinelAddress,
    private readonly onReplaced: () => void,
  ) {
    super(FAIL_FAST.disconnectTimeout);
  }

  /** Where the connection leads, or is being made to. */
  get target(): Host | undefined {
    return this.#connectedTo;
  }

  override check({ role }: { role?: string }): boolean {
    return role === 'master';
  }

  /** @throws Error when disconnect() is called meanwhile: ioredis gives up then */
  override async connect(report: (event: 'error', error: Error) => void): Promise<Socket> {
    this.connecting = true;
    this.#latest = undefined;
    this.#connectedTo = undefined;
    if (this.#listeners.length === 0) this.#listeners = this.address.hosts.map((host) => this.#listen(host));
    const primary = await this.#find(report);
    this.#connectedTo = primary;
    const target = { host: primary.host, port: primary.port, lookup: lookUp };
    this.stream = this.address.tls ? connectTls({ ...target, ...loginOptions(this.address).tls }) : connectTcp(target);
    this.stream.once('error', (error: Error) => (this.firstError = error));
    return this.stream;
  }

  override disconnect(): void {
    this.#leave();
    for (const listener of this.#listeners) listener.disconnect();
    this.#listeners = [];
  }

  /** Once for each connection: each reply READONLY asks for it, and ioredis adds a listener with each call. */
  #leave(): void {
    if ((this.stream as Socket | undefined)?.writableEnded)
      this.connecting = false; // none before the first connection
    else super.disconnect();
  }

  async #find(report: (event: 'error', error: Error) => void): Promise<Word> {
    for (;;) {
      const answers = await Promise.allSettled(this.address.hosts.map((host) => this.#ask(host)));
      if (!this.connecting) throw new Error(CLOSED);
      if (this.#latest !== undefined) return this.#latest;
      const [why] = answers.flatMap((answer) => (answer.status === 'rejected' ? [String(answer.reason)] : []));
      report('error', new Error(`no Sentinel names the primary: ${why}`));
      await sleep(RECONNECT_MS);
    }
  }

  async #ask(host: Host): Promise<void> {
    const word = await primaryBySentinel(host, this.address);
    if (this.#latest !== undefined && word.epoch <= this.#latest.epoch) return;
    this.#latest = word;
    const now = this.#connectedTo;
    if (now !== undefined && (word.host !== now.host || word.port !== now.port)) this.onReplaced(); // and ioredis comes again
  }

  /** Asks when there is news of a fail-over, and when some may have been missed. */
  #listen(host: Host): Redis {
    const ask = (): void => void this.#ask(host).catch(() => undefined);
    const options = { retryStrategy: () => LISTEN_AGAIN_MS, autoResubscribe: false };
    const listener = openSentinel(host, this.address, options);
    listener.on('ready', () => void listener.subscribe('+switch-master').then(ask, () => undefined));
    return listener.on('message', ask);
  }
}
