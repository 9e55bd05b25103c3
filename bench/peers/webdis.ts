// webdis: a small C server that puts HTTP in front of raw Redis commands.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { httpClient, okText } from '../../harness/http-client.js';
import { freePort } from '../../harness/redis-server.js';
import { end, folder, ready, start } from '../servers.js';
import { environmentFor, missingProgram, programPath, redisFor, redisVersion } from './programs.js';
import { LANES, QUEUES, overLanes, takeTurns, type Message, type Running, type System } from './system.js';

const GROUP = 'receivers';
/** webdis writes null for an array within an array, which XREADGROUP answers; this makes its one entry flat. */
const RECEIVE = `local streams = redis.call('XREADGROUP', 'GROUP', ARGV[1], 'c', 'COUNT', 1, 'STREAMS', KEYS[1], '>')
local entry = streams[1][2][1]
return {entry[1], entry[2][2]}`;
const key = (queue: number): string => `webdis:${queue}`;

async function startWebdis(durability: 'none' | 'fsync'): Promise<Running> {
  const redis = await redisFor(durability);
  for (let q = 0; q < QUEUES; q++) await redis.client.xgroup('CREATE', key(q), GROUP, '0', 'MKSTREAM');
  const receiveSha = String(await redis.client.script('LOAD', RECEIVE));
  const port = await freePort();
  const dir = join(folder, `webdis-${port}`);
  mkdirSync(dir);
  const config = {
    redis_host: '127.0.0.1',
    redis_port: Number(new URL(redis.url).port),
    http_host: '127.0.0.1',
    http_port: port,
    threads: 2,
    daemonize: false,
    verbosity: 0,
    logfile: join(dir, 'log'),
    pidfile: join(dir, 'pid'),
  };
  writeFileSync(join(dir, 'webdis.json'), JSON.stringify(config));
  const program = programPath('webdis')!;
  const child = start('webdis', program, [join(dir, 'webdis.json')], environmentFor(program));
  const client = httpClient(`http://127.0.0.1:${port}`, { connections: LANES });
  const command = async (...words: (string | number)[]): Promise<any> => {
    const reply: unknown = JSON.parse(okText(await client.ask('POST', '/', words.map(encodeURIComponent).join('/'))));
    return Object.values(reply as object)[0];
  };
  await ready('webdis', async () => Boolean(await command('PING')));
  return {
    // it answers no question about its version
    version: `webdis (of the Debian package), ${await redisVersion(redis)}`,
    processes: { 'HTTP server': child.pid!, 'data store': redis.pid },
    send: (all, lanes) =>
      overLanes(all, lanes, async ({ queue, payload }) => {
        const id: unknown = await command('XADD', key(queue), '*', 'payload', payload);
        if (typeof id !== 'string') throw new Error(`webdis: XADD answered ${JSON.stringify(id)}`);
      }),
    receive: (count) =>
      takeTurns(count, async (queue): Promise<Message> => {
        const [id, payload] = (await command('EVALSHA', receiveSha, 1, key(queue), GROUP)) as [string, string];
        await command('XACK', key(queue), GROUP, id);
        await command('XDEL', key(queue), id);
        return { queue, payload };
      }),
    async stop() {
      client.close();
      await end(child);
      await redis.stop();
    },
  };
}

export const systems: System[] = [
  {
    name: 'webdis + Redis commands',
    missing: () => missingProgram('webdis', 'webdis'),
    start: startWebdis,
  },
];
