// Connects ioredis to the primary that the Sentinels name, and has it leave a primary that was replaced.
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
import type { NamedPrimary } from '../replication/sentinel.js';

const LISTEN_AGAIN_MS = 1_000;

/**
 * ioredis's own SentinelConnector trusts the first Sentinel that replies. If that one has missed a fail-over, it names the old
 * primary, which may be running again. This connector queries all Sentinels at once, and the highest epoch wins. It waits for
 * dead and hung Sentinels no longer than ASK_MS; one reply is enough.
 */
export class PrimaryConnector extends AbstractConnector {
  /** The primary with the highest epoch since connect() was last called. */
  #latest: NamedPrimary | undefined;
  #connectedTo: NamedPrimary | undefined;
  #listeners: Redis[] = [];

  /** @param onReplaced called when the node at the other end is no longer the primary, so that the connection must be left */
  constructor(
    private readonly address: SentinelAddress,
    private readonly onReplaced: () => void,
  ) {
    super(FAIL_FAST.disconnectTimeout);
  }

  /** The node that this is connected to, or is connecting to. */
  get target(): Host | undefined {
    return this.#connectedTo;
  }

  override check({ role }: { role?: string }): boolean {
    return role === 'master';
  }

  /** @throws Error when disconnect() is called meanwhile, after which ioredis does not retry */
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

  /** Only once for each connection: each reply READONLY calls this, and ioredis adds a listener with each call. */
  #leave(): void {
    if ((this.stream as Socket | undefined)?.writableEnded)
      this.connecting = false; // the stream is undefined before the first connection
    else super.disconnect();
  }

  async #find(report: (event: 'error', error: Error) => void): Promise<NamedPrimary> {
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
    const named = await primaryBySentinel(host, this.address);
    if (this.#latest !== undefined && named.epoch <= this.#latest.epoch) return;
    this.#latest = named;
    const now = this.#connectedTo;
    if (now !== undefined && (named.host !== now.host || named.port !== now.port)) this.onReplaced(); // ioredis reconnects then
  }

  /** Queries the Sentinel when it announces a fail-over, and after each (re)connection, which may have missed one. */
  #listen(host: Host): Redis {
    const ask = (): void => void this.#ask(host).catch(() => undefined);
    const options = { retryStrategy: () => LISTEN_AGAIN_MS, autoResubscribe: false };
    const listener = openSentinel(host, this.address, options);
    listener.on('ready', () => void listener.subscribe('+switch-master').then(ask, () => undefined));
    return listener.on('message', ask);
  }
}
