// Operations that are written to the audit log when they have ended.
import { BrokerError } from '../errors.js';
import type { Client, Deed } from './message-type.js';

/**
 * Carries out an operation and writes it to the audit log.
 * @param act returns how many messages or settings were affected
 * @param isWorthIt whether that many are worth an entry; an operation whose outcome is unknown always is
 */
export async function audited(
  client: Pick<Client, 'audit'>,
  deed: Deed,
  act: () => Promise<number>,
  isWorthIt = (count: number): boolean => count >= 0,
): Promise<number> {
  try {
    const count = await act();
    if (isWorthIt(count)) client.audit?.({ ...deed, count });
    return count;
  } catch (error) {
    if (error instanceof BrokerError && error.outcome === 'unknown') client.audit?.({ ...deed, outcome: 'unknown' });
    throw error;
  }
}
