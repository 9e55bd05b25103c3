// aizumi itself, and the floor: bare node:http in front of native stream commands, which answers the same requests.
import { fileURLToPath } from 'node:url';
import { startPeer, startWorker, type HttpServer, type RedisServer } from '../../bench/servers.js';
import { FIRST_ADDRESS } from '../../bench/traffic.js';
import { QUEUES, type Message } from './check.js';
import { httpClient } from './http.js';
import { REDIS_DURABILITY, redisFor, redisVersion } from './redis.js';
import { LANES, overLanes, takeTurns, type Running, type System } from './system.js';

const PROGRAM = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
const BATCH = 100;
const BROKER = 5000;

const send = ({ queue, payload }: Message): object => ({
  msg_type: 'MSG_SEND_REQ',
  saddr: 1,
  daddr: FIRST_ADDRESS + queue,
  id: Number(payload.split(' ')[0]),
  payload,
});
const recv = (queue: number): object => ({ msg_type: 'MSG_RECV_REQ', saddr: FIRST_ADDRESS + queue, daddr: BROKER });
const free = (queue: number, id: unknown): object => ({
  msg_type: 'MSG_FREE_REQ',
  saddr: FIRST_ADDRESS + queue,
  daddr: BROKER,
  id,
});

interface Reply {
  code: number;
  id: unknown;
  daddr: number;
  payload: string;
}

async function running(server: HttpServer, redis: RedisServer, version: string, batches: boolean): Promise<Running> {
  const client = httpClient(server.url, LANES, { 'content-type': 'application/json' });
  const post = async (body: object): Promise<any> => {
    const reply = JSON.parse(await client.ask('POST', '/', JSON.stringify(body)));
    for (const { code } of [reply].flat() as Reply[])
      if (code !== 200) throw new Error(`${version}: ${JSON.stringify(reply).slice(0, 300)}`);
    return reply;
  };
  const messageOf = ({ daddr, payload }: Reply): Message => ({ queue: daddr - FIRST_ADDRESS, payload });

  const one = {
    send: (all: Message[], lanes: number) => overLanes(all, lanes, (message) => post(send(message))),
    receive: (count: number) =>
      takeTurns(count, LANES, QUEUES, async (queue) => {
        const reply: Reply = await post(recv(queue));
        await post(free(queue, reply.id));
        return messageOf(reply);
      }),
  };
  const hundred = {
    send: (all: Message[], lanes: number) => overLanes(chunks(all), lanes, (some) => post(some.map(send))),
    async receive(count: number) {
      const taken: Message[] = [];
      const turns = chunks(Array.from({ length: count }, (_, i) => i % QUEUES));
      await overLanes(turns, LANES, async (queues) => {
        const replies: Reply[] = await post(queues.map(recv));
        await post(replies.map((reply) => free(reply.daddr - FIRST_ADDRESS, reply.id)));
        taken.push(...replies.map(messageOf));
      });
      return taken;
    },
  };
  return {
    version: `${version}, ${await redisVersion(redis)}`,
    processes: { 'HTTP server': server.pid, 'data store': redis.pid },
    ...(batches ? hundred : one),
    async stop() {
      client.close();
      await server.stop();
      await redis.stop();
    },
  };
}

const chunks = <T>(all: T[]): T[][] =>
  Array.from({ length: Math.ceil(all.length / BATCH) }, (_, i) => all.slice(i * BATCH, (i + 1) * BATCH));

const aizumi = (batches: boolean): System => ({
  name: batches ? 'aizumi, batches of 100' : 'aizumi',
  work: (durability) =>
    `${batches ? 'HTTP, 100 SENDs, RECVs or FREEs in one body.' : 'HTTP, one request each for SEND, RECV with a lease, FREE.'} One worker. ${REDIS_DURABILITY[durability]}`,
  async start(durability) {
    const redis = await redisFor(durability, true);
    const server = await startWorker(PROGRAM, redis);
    const stat = await fetch(server.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ msg_type: 'MSG_STAT_REQ', saddr: 1, daddr: BROKER }),
    });
    const { payload } = (await stat.json()) as { payload: { broker: { version: string } } };
    return running(server, redis, `aizumi ${payload.broker.version}`, batches);
  },
});

export const systems: System[] = [
  aizumi(false),
  aizumi(true),
  {
    name: 'floor (node:http + Redis commands)',
    work: (durability) =>
      `bench/native.mjs: the same requests over HTTP, as XADD, XREADGROUP, XACK + XDEL. No checks, no lease that ends, nothing comes back. ${REDIS_DURABILITY[durability]}`,
    async start(durability) {
      const redis = await redisFor(durability);
      return running(await startPeer('native', redis, false), redis, `Node ${process.version}`, false);
    },
  },
];
