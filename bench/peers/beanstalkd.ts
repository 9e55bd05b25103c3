// beanstalkd, through its own text protocol: https://github.com/beanstalkd/beanstalkd/blob/master/doc/protocol.txt
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../harness/redis-server.js';
import { end, folder, ready, start } from '../servers.js';
import { environmentFor, missingProgram, programPath } from './programs.js';
import { LANES, overLanes, takeTurns, type Durability, type Message, type Running, type System } from './system.js';

const TTR_S = 30;

interface Connection {
  socket: Socket;
  /** Sends commands at once. @returns as many replies: the line, and the body after it if it has one */
  ask: (commands: string[]) => Promise<{ line: string; body: string }[]>;
}

/** One exchange at a time; bodies are ASCII, so characters are bytes. */
async function open(port: number): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true }).setEncoding('latin1');
  await once(socket, 'connect');
  let text = '';
  let wanted = 0;
  let replies: { line: string; body: string }[] = [];
  let settle: { resolve: (all: typeof replies) => void; reject: (error: Error) => void } | undefined;
  socket.on('data', (chunk: string) => {
    text += chunk;
    for (;;) {
      const lineEnd = text.indexOf('\r\n');
      if (lineEnd < 0) break;
      const line = text.slice(0, lineEnd);
      const bytes = /^(?:RESERVED \d+|OK) (\d+)$/.exec(line)?.[1];
      const whole = lineEnd + 2 + (bytes === undefined ? 0 : Number(bytes) + 2);
      if (text.length < whole) break;
      replies.push({ line, body: text.slice(lineEnd + 2, whole - 2) });
      text = text.slice(whole);
    }
    if (wanted > 0 && replies.length >= wanted) {
      wanted = 0;
      settle?.resolve(replies);
    }
  });
  socket.on('error', (error) => settle?.reject(error));
  return {
    socket,
    ask: (commands) =>
      new Promise((resolve, reject) => {
        settle = { resolve, reject };
        replies = [];
        wanted = commands.length;
        socket.write(commands.map((command) => `${command}\r\n`).join(''));
      }),
  };
}

function expectLine(line: string, start: string): void {
  if (!line.startsWith(start)) throw new Error(`beanstalkd answered ${line}, not ${start}`);
}

async function startBeanstalkd(durability: Durability): Promise<Running> {
  const port = await freePort();
  const dir = join(folder, `beanstalkd-${port}`);
  mkdirSync(dir);
  const program = programPath('beanstalkd')!;
  const log = durability === 'fsync' ? ['-b', dir, '-f0'] : [];
  const child = start('beanstalkd', program, ['-l', '127.0.0.1', '-p', String(port), ...log], environmentFor(program));
  await ready('beanstalkd', async () => Boolean((await open(port)).socket.destroy()));
  const lanes = await Promise.all(Array.from({ length: LANES }, () => open(port)));
  const [stats] = await lanes[0]!.ask(['stats']);
  return {
    version: `beanstalkd ${/^version: "?([^"\n]+)/m.exec(stats!.body)?.[1] ?? '?'}`,
    processes: { broker: child.pid! },
    send: (all, count) =>
      overLanes(all, count, async ({ queue, payload }, lane) => {
        const put = `put 0 0 ${TTR_S} ${payload.length}\r\n${payload}`;
        expectLine((await lanes[lane]!.ask([`use q${queue}`, put]))[1]!.line, 'INSERTED');
      }),
    receive: (count) =>
      takeTurns(count, async (queue, lane): Promise<Message> => {
        const { ask } = lanes[lane]!;
        // `default`, which a connection watches from its start, stays empty
        const [, reserved] = await ask([`watch q${queue}`, 'reserve-with-timeout 10', `ignore q${queue}`]);
        expectLine(reserved!.line, 'RESERVED');
        expectLine((await ask([`delete ${reserved!.line.split(' ')[1]!}`]))[0]!.line, 'DELETED');
        return { queue, payload: reserved!.body };
      }),
    async stop() {
      for (const { socket } of lanes) socket.destroy();
      await end(child);
    },
  };
}

export const systems: System[] = [
  {
    name: 'beanstalkd',
    missing: () => missingProgram('beanstalkd', 'beanstalkd'),
    start: startBeanstalkd,
  },
];
