// GET /queues and GET /queues/:address: the queues as JSON, for people, scripts and autoscalers.
import type Router from '@koa/router';
import type { Context } from 'koa';
import type { Access } from '../access/permissions.js';
import { REPORTED_QUEUE_BYTES } from '../config/limits.js';
import type { Broker } from '../messages/message-type.js';
import { listQueues, showQueue } from '../messages/queues.js';
import type { QueuesClient } from '../messages/queues.js';
import type { Admit } from './admission.js';
import { nameOf } from './limits/limits.js';
import type { Memory } from './limits/memory.js';
import { reply } from './reply.js';

export function addQueues(router: Router, broker: Broker, admit: Admit, memory: Memory): void {
  const answer = async (
    ctx: Context,
    read: (access: Access, client: QueuesClient) => Promise<string>,
  ): Promise<void> => {
    const access = await admit(ctx.req);
    const { socket } = ctx.req;
    const account = memory.of(nameOf(access, socket));
    ctx.state.account = account;
    let bytes = 0;
    const take = (more: number): void => {
      account.take('replies', more);
      bytes += more;
    };
    const client: QueuesClient = {
      who: account.who,
      get hasLeft() {
        return socket.destroyed;
      },
      expect: (queues) => take(queues * REPORTED_QUEUE_BYTES),
    };
    try {
      reply(ctx, 200, await read(access, client));
    } finally {
      account.give('replies', bytes);
    }
  };
  router.get('/queues', (ctx) => answer(ctx, (access, client) => listQueues({ ...ctx.query }, broker, access, client)));
  router.get('/queues/:address', (ctx) =>
    answer(ctx, (access, client) => showQueue(ctx.params.address ?? '', broker, access, client)),
  );
}
