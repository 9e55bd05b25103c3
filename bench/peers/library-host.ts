// The process in which BullMQ or rsmq works: library-host.ts LIBRARY REDIS_URL, ordered about by library.ts.
import { createRequire } from 'node:module';
import { Queue, Worker } from 'bullmq';
import RedisSMQ from 'rsmq';
import type { Order, Report } from './library.js';
import { QUEUES, collector, overLanes, takeTurns, timed, type Message, type Running } from './system.js';

type Library = Pick<Running, 'send' | 'receive'>;

const [library = '', url = ''] = process.argv.slice(2);
const redis = new URL(url);
const each = <T>(make: (queue: number) => T): T[] => Array.from({ length: QUEUES }, (_, q) => make(q));

async function bullmq(): Promise<Library> {
  const connection = { host: redis.hostname, port: Number(redis.port), maxRetriesPerRequest: null };
  let add: (message: Message) => void = () => undefined;
  const queues = each((q) => new Queue(`q${q}`, { connection }));
  const workers = each((q) => new Worker(`q${q}`, () => Promise.resolve(), { connection, autorun: false }));
  await Promise.all([...queues, ...workers].map((each) => each.waitUntilReady()));
  const fail = (error: Error): void => report({ report: 'failed', error: String(error) });
  for (const [queue, worker] of workers.entries())
    worker
      .on('completed', (job) => add({ queue, payload: (job.data as { payload: string }).payload }))
      .on('failed', (_, error) => fail(error))
      .on('error', fail);
  return {
    send: (all, lanes) =>
      overLanes(all, lanes, ({ queue, payload }) => queues[queue]!.add('m', { payload }, { removeOnComplete: true })),
    async receive(count) {
      const collected = collector(count);
      add = collected.add;
      for (const worker of workers) {
        if (worker.isPaused()) await worker.resume();
        else worker.run().catch(fail);
      }
      const taken = await collected.done;
      // one that waits while it is paused would swallow the sign that its next job is there
      await Promise.all(workers.map((worker) => worker.pause()));
      return taken;
    },
  };
}

async function rsmq(): Promise<Library> {
  const client = new RedisSMQ({ host: redis.hostname, port: Number(redis.port) });
  for (let q = 0; q < QUEUES; q++) await client.createQueueAsync({ qname: `q${q}`, vt: 30 });
  return {
    send: (all, lanes) =>
      overLanes(all, lanes, ({ queue, payload }) => client.sendMessageAsync({ qname: `q${queue}`, message: payload })),
    receive: (count) =>
      takeTurns(count, async (queue) => {
        const qname = `q${queue}`;
        const got = await client.receiveMessageAsync({ qname });
        if (!('message' in got)) throw new Error(`rsmq found nothing in ${qname}`);
        if ((await client.deleteMessageAsync({ qname, id: got.id })) !== 1) throw new Error(`rsmq lost ${got.id}`);
        return { queue, payload: got.message };
      }),
  };
}

const report = (text: Report): void => void process.send!(text);
process.on('disconnect', () => process.exit());

async function main(): Promise<void> {
  const { version } = createRequire(import.meta.url)(`${library}/package.json`) as { version: string };
  const made = await { bullmq, rsmq }[library as 'bullmq' | 'rsmq']();
  process.on('message', (order: Order) => {
    const work = async (): Promise<Report> => {
      if ('receive' in order) return { report: 'received', taken: await made.receive(order.receive) };
      if ('time' in order)
        return { report: 'timed', times: await timed(order.time, (all, lanes) => made.send(all, lanes)) };
      await made.send(order.send, order.lanes);
      return { report: 'sent' };
    };
    work().then(report, (error: unknown) => report({ report: 'failed', error: String(error) }));
  });
  report({ report: 'ready', version: `${library} ${version}` });
}

await main();
