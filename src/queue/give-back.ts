// What was taken for a receiver that has gone meanwhile goes back as if it had not been taken.
import { redisFailure } from '../redis/failure.js';
import { attemptsKey, heldKey, leasesKey, queueKey } from './keys.js';
import type { Queues } from './queues.js';

/** Of a delivery, what names it. */
interface Given {
  readonly receipt: string;
  readonly leaseUntilMs: number;
}

/** Given back per script call, so that Redis is not stopped for long. */
const AT_ONCE = 100;

/**
 * Gives back what a RECV returned and nobody was told, at once; it does not count as a delivery. What somebody else was told
 * too, who asked with the same attempt_id, stays as it is.
 * @param deliveries all that this RECV returned
 * @param attemptId that it had
 * @throws BrokerError unavailable: then the messages come back when their leases end
 */
export async function giveBack(
  { redis, settings }: Queues,
  address: number,
  deliveries: readonly Given[],
  attemptId = '',
): Promise<void> {
  const { keyPrefix: prefix } = settings;
  const keys = [
    queueKey(prefix, address),
    leasesKey(prefix, address),
    heldKey(prefix, address),
    attemptsKey(prefix, address),
  ] as const;
  try {
    for (let i = 0; i < deliveries.length; i += AT_ONCE) {
      const some = deliveries.slice(i, i + AT_ONCE).map(({ receipt, leaseUntilMs }) => `${receipt} ${leaseUntilMs}`);
      // the first call ends the attempt: from then on nobody can be told of these deliveries
      if ((await redis.aizumiGiveBack(...keys, some.join(' '), i === 0 ? attemptId : '')) === 0) return;
    }
  } catch (error) {
    throw redisFailure(error);
  }
}
