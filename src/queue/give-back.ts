// What was taken for a receiver that has gone meanwhile goes back as if it had not been taken.
import { redisFailure } from '../redis/failure.js';
import { attemptsKey, heldKey, leasesKey, queueKey } from './keys.js';
import type { Queues } from './queues.js';
import { SCRIPT_COST, inLane } from './light-turns.js';
import { SLICE_MESSAGES } from './slices.js';
import { NOBODY } from './turns.js';

declare module './queues.js' {
  interface QueueCommands {
    aizumiGiveBack(
      ...args: [queue: string, leases: string, held: string, attempts: string, deliveries: string, attemptId: string]
    ): Promise<0 | 1>;
  }
}

/** Of a delivery, what names it. */
interface Given {
  readonly receipt: string;
  readonly leaseUntilMs: number;
}

/**
 * Gives back what a RECV returned and nobody was told, at once; it does not count as a delivery. What somebody else was told
 * too, who asked with the same attempt_id, stays as it is.
 * @param deliveries all that this RECV returned
 * @param attemptId that it had
 * @param who whose turn it shares
 * @throws BrokerError unavailable: then the messages come back when their leases end
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
  // its client has left, and it must be done all the same
  const asker = { who, hasLeft: false };
  const keys = [key, leasesKey(prefix, address), heldKey(prefix, address), attemptsKey(prefix, address)] as const;
  try {
    for (let i = 0; i < deliveries.length; i += SLICE_MESSAGES) {
      const some = deliveries.slice(i, i + SLICE_MESSAGES);
      const text = some.map(({ receipt, leaseUntilMs }) => `${receipt} ${leaseUntilMs}`).join(' ');
      // the first call ends the attempt: from then on nobody can be told of these deliveries
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
