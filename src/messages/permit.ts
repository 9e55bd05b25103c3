// Checks whether the client has the permissions that a message type needs.
import type { Access } from '../access/permissions.js';
import { BrokerError } from '../errors.js';
import type { Client, Fields, MessageType } from './message-type.js';

/**
 * @param fields its addresses, where permissions are needed for them, are valid
 * @throws BrokerError forbidden
 */
export function permit({ request, needs, orNeeds }: MessageType, { saddr, daddr }: Fields, { access }: Client): void {
  if (needs.saddr && !access.may(needs.saddr, saddr as number))
    if (orNeeds === undefined) throw forbidden(request, needs.saddr, 'saddr', saddr, access);
    else if (!access.may(orNeeds, saddr as number))
      throw forbidden(request, `${needs.saddr} or ${orNeeds}`, 'saddr', saddr, access);
  if (needs.daddr && !access.may(needs.daddr, daddr as number))
    throw forbidden(request, needs.daddr, 'daddr', daddr, access);
}

function forbidden(request: string, action: string, field: string, address: unknown, { name }: Access): BrokerError {
  const permission = `the permission ${action} for the address ${String(address)}`;
  const message = `${request} needs ${permission}, which your credentials do not give`;
  const about = { who: name, request, address: address as number };
  return new BrokerError('forbidden', message, { details: [{ field, message }], about });
}
