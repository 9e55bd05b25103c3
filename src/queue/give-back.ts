// Undoes a RECV whose receiver has disconnected meanwhile: its messages return to the queue as if they had not been taken.
import { SCRIPT_COST, SLICE_MESSAGES } from '../config/limits.js';
import { redisFailure } from '../redis/failure.js';
import { attemptsKey, heldKey, leasesKey, queueKey } from './keys.js';
import type { Queues } from './queues.js';
import { inLane } from './light-turns.js';
import { NOBODY } from './turns.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiGiveBack(
      ...args: [queue: string, leases: string, held: string, attempts: string, deliveries: string, attemptId: string]
    ): Promise<0 | 1>;
  }
}

/** What identifies a delivery. */
interface Given {
  readonly receipt: string;
  readonly leaseUntilMs: number;
}

/**
 * Returns the messages of a RECV whose reply nobody received to the queue at once; they do not count as delivered. Messages that
 * another request with the same attempt_id has received too stay leased.
 * @param deliveries all that this RECV returned
 * @param attemptId of this RECV
 * @param who the client whose turns it uses
 * @throws BrokerError unavailable: then the messages are redelivered when their leases end
 */
export async function giveBack(
  { redis, settings, turns, light }: Queues,
  address: number,
  deliveries: readonly Given[],
  attemptId = '',
  who = NOBODY.who,
): Promise<void> {
  const { keyPrefix: prefix } = settings;
  const key = queueKey(prefix, address);
  // it must be done although its client has left
  const asker = { who, hasLeft: false };
  const keys = [key, leasesKey(prefix, address), heldKey(prefix, address), attemptsKey(prefix, address)] as const;
  try {
    for (let i = 0; i < deliveries.length; i += SLICE_MESSAGES) {
      const some = deliveries.slice(i, i + SLICE_MESSAGES);
      const text = some.map(({ receipt, leaseUntilMs }) => `${receipt} ${leaseUntilMs}`).join(' ');
      // the first call ends the attempt: from then on no request can receive these deliveries
      const giveSome = (): Promise<0 | 1> => redis.aizumiGiveBack(...keys, text, i === 0 ? attemptId : '');
      const isGivenBack = await (deliveries.length === 1
        ? inLane(light.lane(address), who, SCRIPT_COST, giveSome)
        : turns.take({ key, size: some.length, asker, isBegun: true }, giveSome));
      if (isGivenBack === 0) return;
    }
  } catch (error) {
    throw redisFailure(error);
  }
}
