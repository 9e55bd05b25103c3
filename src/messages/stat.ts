// MSG_STAT_REQ: the state of the broker and of the client's own queue.
import { STAT_COST } from '../config/limits.js';
import { stat as count } from '../queue/broker-stat.js';
import { requestSchema } from './fields.js';
import type { Addressed, Broker, MessageType } from './message-type.js';
import { replyHead } from './reply-text.js';

// the specification's table has MSG_STAT_RES, its example MSG_STAT_ACK: the example is followed
const REPLY_HEAD = replyHead('MSG_STAT_ACK');

export const stat = {
  number: 11,
  request: 'MSG_STAT_REQ',
  reply: 'MSG_STAT_ACK',
  needs: { saddr: 'receive' },
  orNeeds: 'look',
  schema: requestSchema(),
  cost: () => STAT_COST,
  async handle({ saddr }: Addressed, { queues, id, version, startedAtMs }: Broker): Promise<string> {
    const { queue, queues: total } = await count(queues, saddr);
    const payload = {
      broker: { id, version, uptime_ms: Date.now() - startedAtMs, queues: total },
      queue: queue && {
        address: saddr,
        waiting: queue.waiting,
        leased: queue.leased,
        delayed: queue.delayed,
        dead: queue.dead,
        expired: queue.expired,
        oldest_ms: queue.oldestMs,
        bytes: queue.bytes,
        settings: queue.settings,
      },
    };
    return `${REPLY_HEAD},"payload":${JSON.stringify({ ...payload, queue: payload.queue ?? null })}}`;
  },
} satisfies MessageType;
