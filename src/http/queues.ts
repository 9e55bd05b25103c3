// GET /queues and GET /queues/:address: the queues as JSON, for people, scripts and autoscalers.
import type Router from '@koa/router';
import type { Context } from 'koa';
import type { Access } from '../access/permissions.js';
import type { Broker } from '../messages/fields.js';
import { listQueues, showQueue } from '../messages/queues.js';
import type { Looker } from '../messages/queues.js';
import type { Admit } from './admission.js';
import { nameOf } from './limits.js';
import type { Memory } from './memory.js';
import { reply } from './reply.js';
import { countUnsent } from './unsent.js';

/** What a request takes until it is answered, and each queue that it is told of, bytes. */
const REQUEST_BYTES = 8_192;
const QUEUE_BYTES = 3_072;

export function addQueues(router: Router, broker: Broker, admit: Admit, memory: Memory): void {
  const answer = async (ctx: Context, tell: (access: Access, looker: Looker) => Promise<string>): Promise<void> => {
    const access = await admit(ctx.req);
    const { socket } = ctx.req;
    const account = memory.of(nameOf(access, socket));
    let bytes = 0;
    const take = (more: number): void => {
      account.take('replies', more);
      bytes += more;
    };
    const looker: Looker = {
      who: account.who,
      get hasLeft() {
        return socket.destroyed;
      },
      expect: (queues) => take(queues * QUEUE_BYTES),
    };
    try {
      take(REQUEST_BYTES);
      reply(ctx, 200, await tell(access, looker));
      countUnsent(ctx.res, socket, account);
    } finally {
      account.give('replies', bytes);
    }
  };
  router.get('/queues', (ctx) => answer(ctx, (access, looker) => listQueues({ ...ctx.query }, broker, access, looker)));
  router.get('/queues/:address', (ctx) =>
    answer(ctx, (access, looker) => showQueue(ctx.params.address ?? '', broker, access, looker)),
  );
}
