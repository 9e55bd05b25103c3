// MSG_GBYE_REQ: the client saddr leaves; the messages that are leased at its address return to its queue.
import { gbye as leave } from '../queue/gbye.js';
import { audited } from './audited.js';
import { requestSchema } from './fields.js';
import type { Addressed, Broker, Client, MessageType } from './message-type.js';
import { plainReply } from './reply-text.js';

const REPLY = plainReply('MSG_GBYE_ACK');

export const gbye = {
  number: 13,
  request: 'MSG_GBYE_REQ',
  reply: 'MSG_GBYE_ACK',
  needs: { saddr: 'receive' },
  schema: requestSchema(),
  async handle({ saddr }: Addressed, { queues }: Broker, _payload: string, client: Client): Promise<string> {
    // all leases of the address end: it is not known which client holds which, and several may receive at one address
    const act = (): Promise<number> => leave(queues, saddr, client);
    await audited(client, { request: 'MSG_GBYE_REQ', address: saddr }, act, (given) => given > 0);
    return REPLY;
  },
} satisfies MessageType;
