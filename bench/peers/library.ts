// BullMQ and rsmq are libraries: what a broker does in its own process, they do in the client's. So they get a
// process that does nothing else, and that is counted.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RedisServer } from '../servers.js';
import { redisFor, redisVersion } from './programs.js';
import { type Message, type Running, type System } from './system.js';

const HOST = fileURLToPath(new URL('./library-host.ts', import.meta.url));

export type Order = { send: Message[]; lanes: number } | { time: Message[] } | { receive: number };
/** At the start, and to each order. */
export type Report =
  | { report: 'ready'; version: string }
  | { report: 'sent' }
  | { report: 'timed'; times: number[] }
  | { report: 'received'; taken: Message[] }
  | { report: 'failed'; error: string };

interface Host {
  pid: number;
  version: string;
  give(order: Order): Promise<Report>;
  stop(): Promise<void>;
}

async function startHost(library: string, redis: RedisServer): Promise<Host> {
  const child = fork(HOST, [library, redis.url], { execArgv: ['--import', 'tsx'], stdio: 'inherit' });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const first = await answer(child);
  return {
    pid: child.pid!,
    version: first.report === 'ready' ? first.version : not(first),
    give(order) {
      child.send(order);
      return answer(child);
    },
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL'); // its Redis goes with it
      await exited;
      process.off('exit', kill);
    },
  };
}

/** tsx, under which the child runs, sends its parent messages of its own: those are not for us. */
const isReport = (message: object): message is Report => 'report' in message;

function answer(child: ChildProcess): Promise<Report> {
  return new Promise((resolve, reject) => {
    const settle = (outcome: () => void): void => {
      child.off('message', onMessage).off('exit', onExit);
      outcome();
    };
    const onMessage = (message: object): void => {
      if (isReport(message))
        settle(() => (message.report === 'failed' ? reject(new Error(message.error)) : resolve(message)));
    };
    const onExit = (code: number | null): void =>
      settle(() => reject(new Error(`the library's process ended by itself: ${code}`)));
    child.on('message', onMessage).on('exit', onExit);
  });
}

function not(report: Report): never {
  throw new Error(`the library's process answered ${report.report}`);
}

async function startLibrary(library: string, durability: 'none' | 'fsync'): Promise<Running> {
  const redis = await redisFor(durability);
  const host = await startHost(library, redis);
  return {
    version: `${host.version}, ${await redisVersion(redis)}`,
    processes: { library: host.pid, 'data store': redis.pid },
    async send(all, lanes) {
      const report = await host.give({ send: all, lanes });
      if (report.report !== 'sent') not(report);
    },
    async timesOf(all) {
      const report = await host.give({ time: all });
      return report.report === 'timed' ? report.times : not(report);
    },
    async receive(count) {
      const report = await host.give({ receive: count });
      return report.report === 'received' ? report.taken : not(report);
    },
    async stop() {
      await host.stop();
      await redis.stop();
    },
  };
}

export const systems: System[] = [
  {
    name: 'BullMQ',
    start: (durability) => startLibrary('bullmq', durability),
  },
  {
    name: 'rsmq',
    start: (durability) => startLibrary('rsmq', durability),
  },
];
