// aizumi itself, and the floor: bare node:http in front of native stream commands, which answers the same requests.
import { startPeer, startWorker, type HttpServer, type RedisServer } from '../servers.js';
import { FIRST_ADDRESS } from '../traffic.js';
import { httpClient, okText } from '../../harness/http-client.js';
import { freeRequest, recvRequest, sendRequest, statRequest } from '../../harness/requests.js';
import { redisFor, redisVersion } from './programs.js';
import { LANES, QUEUES, overLanes, takeTurns, type Message, type Running, type System } from './system.js';

const BATCH = 100;

const send = ({ queue, payload }: Message): object =>
  sendRequest(FIRST_ADDRESS + queue, Number(payload.split(' ')[0]), payload);
const recv = (queue: number): object => recvRequest(FIRST_ADDRESS + queue);
const free = (queue: number, id: any): object => freeRequest(FIRST_ADDRESS + queue, id);

interface Reply {
  code: number;
  id: unknown;
  daddr: number;
  payload: string;
}

async function running(server: HttpServer, redis: RedisServer, version: string, batches: boolean): Promise<Running> {
  const client = httpClient(server.url, { connections: LANES });
  const post = async (body: object): Promise<any> => {
    const reply = JSON.parse(okText(await client.ask('POST', '/', JSON.stringify(body))));
    for (const { code } of [reply].flat() as Reply[])
      if (code !== 200) throw new Error(`${version}: ${JSON.stringify(reply).slice(0, 300)}`);
    return reply;
  };
  const messageOf = ({ daddr, payload }: Reply): Message => ({ queue: daddr - FIRST_ADDRESS, payload });

  const one = {
    send: (all: Message[], lanes: number) => overLanes(all, lanes, (message) => post(send(message))),
    receive: (count: number) =>
      takeTurns(count, async (queue) => {
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
  async start(durability) {
    const redis = await redisFor(durability, true);
    const server = await startWorker(redis);
    const client = httpClient(server.url);
    const stat = await client.ask('POST', '/', JSON.stringify(statRequest(1)));
    client.close();
    const { payload } = JSON.parse(okText(stat)) as { payload: { broker: { version: string } } };
    return running(server, redis, `aizumi ${payload.broker.version}`, batches);
  },
});

export const systems: System[] = [
  aizumi(false),
  aizumi(true),
  {
    name: 'floor (node:http + Redis commands)',
    async start(durability) {
      const redis = await redisFor(durability);
      return running(await startPeer('native', redis, false), redis, `Node ${process.version}`, false);
    },
  },
];
