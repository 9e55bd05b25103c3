// How many RECVs may wait at once: on a connection, of a client, and in this worker.
import { RETRY_AFTER_S } from '../../config/limits.js';
import { BrokerError } from '../../errors.js';

export interface WaitLimits {
  readonly connection: number;
  readonly client: number;
  readonly worker: number;
}

/** RECVs of one connection that wait. */
export interface ConnectionWaits {
  waits: number;
}

export class Waits {
  readonly #clients = new Map<string, number>();
  #all = 0;

  constructor(private readonly limits: WaitLimits) {}

  /** @throws BrokerError rate_limited, overloaded: the RECV is not counted, and must not wait */
  begin(connection: ConnectionWaits, client: string): void {
    const { limits } = this;
    const ofClient = this.#clients.get(client) ?? 0;
    if (connection.waits >= limits.connection)
      throw tooMany('rate_limited', 'on this connection', limits.connection, 'MAX_CONNECTION_WAITING_RECVS');
    if (ofClient >= limits.client)
      throw tooMany('rate_limited', 'of this client', limits.client, 'MAX_CLIENT_WAITING_RECVS');
    if (this.#all >= limits.worker) throw tooMany('overloaded', 'in this worker', limits.worker, 'MAX_WAITING_RECVS');
    connection.waits += 1;
    this.#clients.set(client, ofClient + 1);
    this.#all += 1;
  }

  end(connection: ConnectionWaits, client: string): void {
    connection.waits -= 1;
    this.#all -= 1;
    const left = (this.#clients.get(client) ?? 0) - 1;
    if (left > 0) this.#clients.set(client, left);
    else this.#clients.delete(client);
  }
}

function tooMany(reason: 'rate_limited' | 'overloaded', where: string, most: number, setting: string): BrokerError {
  return new BrokerError(
    reason,
    `${most} RECVs wait ${where}, as many as may (AIZUMI_${setting}): nothing was done, try again without wait_ms`,
    { outcome: 'not_done', retryAfterS: RETRY_AFTER_S },
  );
}
