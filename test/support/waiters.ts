// RECVs with wait_ms, and when they are answered.
import type { Reply, TestBroker } from '../../harness/broker.js';
import { recvRequest } from '../../harness/requests.js';

export interface Waiter {
  /** Undefined while it waits. */
  readonly reply: Reply | undefined;
  readonly answered: Promise<Reply>;
}

/** Starts to wait. @param more further fields of the request */
export function startWaiter(
  broker: Pick<TestBroker, 'post'>,
  address: number,
  waitMs: number,
  more: object = {},
): Waiter {
  const waiter: { reply: Reply | undefined; answered: Promise<Reply> } = {
    reply: undefined,
    answered: broker
      .post({ ...recvRequest(address), wait_ms: waitMs, ...more })
      .then((reply) => (waiter.reply = reply)),
  };
  return waiter;
}
