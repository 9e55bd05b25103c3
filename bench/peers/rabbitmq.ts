// RabbitMQ: through its HTTP management API, and over AMQP.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import amqp from 'amqplib';
import { freePort } from '../../harness/redis-server.js';
import { folder, ready } from '../servers.js';
import { httpClient, okText, type HttpClient } from '../../harness/http-client.js';
import { FOLDER, environmentFor, programPath } from './programs.js';
import {
  LANES,
  QUEUES,
  collector,
  overLanes,
  takeTurns,
  type Durability,
  type Message,
  type Running,
  type System,
} from './system.js';

const LOGIN = 'guest:guest';
/** Erlang on a busy machine takes its time. */
const READY_WITHIN_MS = 40_000;
const STOP_WITHIN_MS = 15_000;

interface Server {
  version: string;
  pid: number;
  amqpUrl: string;
  http: HttpClient;
  stop(): Promise<void>;
}

/** Debian's own rabbitmq-server changes to a user of its own; the one behind it does not. */
function findServer(): string | undefined {
  const homes = [FOLDER, '/'].map((root) => join(root, 'usr/lib/rabbitmq/lib')).filter((path) => existsSync(path));
  return homes
    .flatMap((home) => readdirSync(home).map((version) => join(home, version, 'sbin/rabbitmq-server')))
    .find((path) => existsSync(path));
}

const missing = (): string | undefined =>
  findServer()
    ? undefined
    : `RabbitMQ is not installed: bench/peers/prepare.sh fetches it into ${FOLDER}, or apt-get install rabbitmq-server`;

async function startServer(): Promise<Server> {
  const [port, httpPort, distPort, epmdPort] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const dir = join(folder, `rabbitmq-${port}`);
  mkdirSync(dir);
  const at = (name: string, text?: string): string => {
    const path = join(dir, name);
    if (text !== undefined) writeFileSync(path, text);
    return path;
  };
  const program = findServer()!;
  const erlang = program.startsWith(FOLDER) ? join(FOLDER, 'usr/lib/erlang/bin') : dirname(programPath('erl')!);
  const env = {
    ...environmentFor(program),
    HOME: dir, // the Erlang cookie
    PATH: [erlang, process.env.PATH].join(delimiter),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(epmdPort),
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_NODENAME: 'peers@localhost',
    RABBITMQ_MNESIA_BASE: at('mnesia'),
    RABBITMQ_LOG_BASE: at('log'),
    RABBITMQ_PID_FILE: at('pid'),
    RABBITMQ_CONF_ENV_FILE: at('env.conf', ''),
    RABBITMQ_ENABLED_PLUGINS_FILE: at('plugins', '[rabbitmq_management].\n'),
    RABBITMQ_CONFIG_FILE: at(
      'rabbitmq.conf',
      `listeners.tcp.1 = 127.0.0.1:${port}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = ${httpPort}\n`,
    ),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  };
  // Neither is a child of bench/servers: the script that starts RabbitMQ must not be killed before what it started.
  const epmd = spawn(join(erlang, 'epmd'), ['-address', '127.0.0.1', '-port', String(epmdPort)], {
    env,
    stdio: 'ignore',
  });
  const script = spawn(program, { env, stdio: 'ignore' });
  const beam = (): number => Number(existsSync(at('pid')) && readFileSync(at('pid'), 'utf8'));
  const kill = (): void => {
    for (const pid of [beam(), script.pid, epmd.pid]) if (pid) signal(pid, 'SIGKILL');
  };
  process.once('exit', kill);
  const http = httpClient(`http://127.0.0.1:${httpPort}/api`, {
    connections: LANES,
    headers: {
      authorization: `Basic ${Buffer.from(LOGIN).toString('base64')}`,
    },
  });
  let overview: any;
  try {
    await ready(
      'rabbitmq',
      async () => Boolean((overview = JSON.parse(okText(await http.ask('GET', '/overview'))))),
      READY_WITHIN_MS,
    );
  } catch (error) {
    kill();
    throw error;
  }
  return {
    version: `RabbitMQ ${overview.rabbitmq_version}, Erlang ${overview.erlang_version}`,
    pid: beam(),
    amqpUrl: `amqp://${LOGIN}@127.0.0.1:${port}`,
    http,
    async stop() {
      http.close();
      signal(beam(), 'SIGTERM');
      const deadline = performance.now() + STOP_WITHIN_MS;
      while (script.exitCode === null && script.signalCode === null && performance.now() < deadline) await sleep(50);
      kill();
      process.off('exit', kill);
    },
  };
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function startHttp(durability: Durability): Promise<Running> {
  const server = await startServer();
  const durable = durability === 'fsync';
  const ask = async (method: string, path: string, body: object): Promise<any> => {
    const text = okText(await server.http.ask(method, path, JSON.stringify(body)));
    return text === '' ? undefined : JSON.parse(text);
  };
  for (let q = 0; q < QUEUES; q++) await ask('PUT', `/queues/%2F/q${q}`, { durable });
  return {
    version: server.version,
    processes: { broker: server.pid },
    send: (all, lanes) =>
      overLanes(all, lanes, async ({ queue, payload }) => {
        const { routed } = await ask('POST', '/exchanges/%2F/amq.default/publish', {
          routing_key: `q${queue}`,
          properties: { delivery_mode: durable ? 2 : 1 },
          payload,
          payload_encoding: 'string',
        });
        if (routed !== true) throw new Error(`RabbitMQ did not route a message to q${queue}`);
      }),
    receive: (count) =>
      takeTurns(count, async (queue): Promise<Message> => {
        const got = await ask('POST', `/queues/%2F/q${queue}/get`, {
          count: 1,
          ackmode: 'ack_requeue_false',
          encoding: 'auto',
        });
        return { queue, payload: got[0].payload };
      }),
    stop: () => server.stop(),
  };
}

async function startAmqp(durability: Durability): Promise<Running> {
  const server = await startServer();
  const persistent = durability === 'fsync';
  const connection = await amqp.connect(server.amqpUrl, { noDelay: true });
  const sender = await connection.createConfirmChannel();
  for (let q = 0; q < QUEUES; q++) await sender.assertQueue(`q${q}`, { durable: persistent });
  const publish = ({ queue, payload }: Message): Promise<void> =>
    new Promise((resolve, reject) =>
      sender.publish('', `q${queue}`, Buffer.from(payload), { persistent }, (error: unknown) =>
        error ? reject(new Error(`RabbitMQ refused a message for q${queue}`)) : resolve(),
      ),
    );
  return {
    version: server.version,
    processes: { broker: server.pid },
    send: (all, lanes) => overLanes(all, lanes, publish),
    async receive(count) {
      const { done, add } = collector(count);
      const receiver = await connection.createChannel();
      await receiver.prefetch(LANES);
      for (let queue = 0; queue < QUEUES; queue++)
        await receiver.consume(`q${queue}`, (message) => {
          if (!message) return;
          receiver.ack(message);
          add({ queue, payload: message.content.toString() });
        });
      const taken = await done;
      await receiver.close(); // after the acknowledgements before it on the same channel
      return taken;
    },
    async stop() {
      await connection.close();
      await server.stop();
    },
  };
}

export const systems: System[] = [
  {
    name: 'RabbitMQ, HTTP API',
    share: 1 / 8,
    missing,
    start: startHttp,
  },
  {
    name: 'RabbitMQ, AMQP',
    missing,
    start: startAmqp,
  },
];
