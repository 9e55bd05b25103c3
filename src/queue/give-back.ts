// What was taken for a receiver that has gone meanwhile goes back as if it had not been taken.
import { back } from './back.js';
import type { Queues } from './queues.js';
import type { Delivery } from './recv.js';

/**
 * Gives back what `address` holds by these deliveries, at once; they do not count as attempts.
 * @throws BrokerError lease_lost, unavailable: then the messages come back when their leases end
 */
export async function giveBack(queues: Queues, address: number, deliveries: readonly Delivery[]): Promise<void> {
  await Promise.all(deliveries.map(({ id, receipt }) => back(queues, address, id, { receipt, counts: false })));
}
