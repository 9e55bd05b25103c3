// The limits that a request is checked against on its way in, where they are set. Each worker counts for itself.
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { ANYTHING } from '../../access/permissions.js';
import type { Access } from '../../access/permissions.js';
import type { Config } from '../../config/config.js';
import { MAX_THROTTLED, THROTTLE_MS } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';
import type { Observer } from '../../observe/observer.js';
import { Pressure } from './pressure.js';
import { Rate } from './rate.js';

/**
 * @param unanswered returns how many commands wait for Redis's reply
 * @returns undefined when no limit is set
 */
export function createLimits(
  config: Config,
  unanswered: () => number,
  log: Logger,
  observer: Observer | undefined,
): Limits | undefined {
  const { maxClientRequestsPerS, maxAddressRequestsPerS, maxEventLoopDelayMs, maxUnansweredCommands } = config;
  const needsPressure = maxEventLoopDelayMs !== undefined || maxUnansweredCommands !== undefined;
  if (!needsPressure && maxClientRequestsPerS === undefined && maxAddressRequestsPerS === undefined) return undefined;
  return new Limits({
    clientPerS: maxClientRequestsPerS,
    addressPerS: maxAddressRequestsPerS,
    observer,
    pressure: needsPressure
      ? new Pressure({ maxDelayMs: maxEventLoopDelayMs, maxUnanswered: maxUnansweredCommands, unanswered, log })
      : undefined,
  });
}

interface LimitsOptions {
  /** Requests per second of each client (see {@link nameOf}), and of each saddr; undefined: no limit. */
  clientPerS?: number | undefined;
  addressPerS?: number | undefined;
  pressure?: Pressure | undefined;
  observer?: Observer | undefined;
}

export class Limits {
  readonly #clients: Rate | undefined;
  readonly #pressure: Pressure | undefined;
  /** For {@link Client.count}; undefined without a limit per address. @throws BrokerError rate_limited */
  readonly countAddress: ((saddr: number) => void) | undefined;
  readonly #observer: Observer | undefined;
  #throttled = 0;

  constructor({ clientPerS, addressPerS, pressure, observer }: LimitsOptions) {
    this.#observer = observer;
    this.#clients = clientPerS === undefined ? undefined : new Rate(clientPerS);
    this.#pressure = pressure;
    if (addressPerS === undefined) return;
    const addresses = new Rate(addressPerS);
    this.countAddress = (saddr) => {
      const waitMs = addresses.take(saddr);
      if (waitMs <= 0) return;
      observer?.limited('address_requests');
      throw rateLimited(`the address ${saddr} sends more than ${addressPerS} requests a second`, waitMs, 'ADDRESS');
    };
  }

  /** To be called before anything is done for a request. @throws BrokerError overloaded */
  checkPressure(): void {
    this.#pressure?.check();
  }

  /** Counts a request, before its body is read. @throws BrokerError rate_limited */
  count(client: string): void {
    const waitMs = this.#clients?.take(client) ?? 0;
    if (waitMs > 0) throw this.#clientLimited(waitMs);
  }

  #clientLimited(waitMs: number): BrokerError {
    this.#observer?.limited('client_requests');
    return rateLimited('you send more requests a second than a client may', waitMs, 'CLIENT');
  }

  /** To be called before the body is parsed. @throws BrokerError overloaded */
  admitText(text: string): void {
    this.#pressure?.checkText(text);
  }

  /**
   * Counts the requests of a batch as if each had been sent alone; the first has been counted.
   * @throws BrokerError rate_limited, when requests that the client sent at the same time have used up its rate
   */
  readonly countBatch = (client: string, size: number): void => {
    const waitMs = this.#clients?.debtMs(client) ?? 0;
    if (waitMs > 0) throw this.#clientLimited(waitMs);
    this.#clients?.charge(client, size - 1);
  };

  stop(): void {
    this.#pressure?.stop();
  }

  /** Delays the reply to a rate-limited request. @returns whether its connection is to be closed after it */
  async throttle(error: unknown): Promise<boolean> {
    if (!(error instanceof BrokerError) || error.reason !== 'rate_limited') return false;
    if (this.#throttled >= MAX_THROTTLED) return true;
    this.#throttled += 1;
    await sleep(THROTTLE_MS);
    this.#throttled -= 1;
    return false;
  }
}

function rateLimited(what: string, waitMs: number, setting: 'CLIENT' | 'ADDRESS'): BrokerError {
  const retryAfterS = Math.ceil(waitMs / 1_000);
  return new BrokerError(
    'rate_limited',
    `${what} (AIZUMI_MAX_${setting}_REQUESTS_PER_S): nothing was done, try again in ${retryAfterS} s`,
    { retryAfterS, outcome: 'not_done' },
  );
}

/** The client to which a request is charged: the owner of its credentials, or without any the machine that sent it. */
export const nameOf = (access: Access, socket: Pick<Socket, 'remoteAddress'>): string =>
  access === ANYTHING ? clientOf(socket) : `key ${access.name}`;

/** The machine at the other end: an IPv4 address, or the /64 network of an IPv6 address, all of which one machine may have. */
export function clientOf(socket: Pick<Socket, 'remoteAddress'>): string {
  const address = socket.remoteAddress ?? '';
  if (!address.includes(':')) return address;
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7);
  const [head = '', tail = ''] = address.split('::');
  const groups = [head, tail].map((part) => (part === '' ? [] : part.split(':')));
  const [first = [], last = []] = groups;
  const zeros = Array<string>(Math.max(0, 8 - first.length - last.length)).fill('0');
  return [...first, ...zeros, ...last].slice(0, 4).join(':');
}
