// webdis: a small C server that puts HTTP in front of raw Redis commands.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { end, folder, freePort, pidOf, ready, start } from '../../bench/servers.js';
import { QUEUES, type Message } from './check.js';
import { httpClient } from './http.js';
import { environmentFor, missingProgram, programPath } from './programs.js';
import { REDIS_DURABILITY, redisFor, redisVersion } from './redis.js';
import { LANES, overLanes, takeTurns, type Running, type System } from './system.js';

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
  const client = httpClient(`http://127.0.0.1:${port}`, LANES);
  const command = async (...words: (string | number)[]): Promise<any> => {
    const reply: unknown = JSON.parse(await client.ask('POST', '/', words.map(encodeURIComponent).join('/')));
    return Object.values(reply as object)[0];
  };
  await ready('webdis', async () => Boolean(await command('PING')));
  return {
    // it answers no question about its version
    version: `webdis (of the Debian package), ${await redisVersion(redis)}`,
    processes: { 'HTTP server': pidOf(child), 'data store': redis.pid },
    send: (all, lanes) =>
      overLanes(all, lanes, async ({ queue, payload }) => {
        const id: unknown = await command('XADD', key(queue), '*', 'payload', payload);
        if (typeof id !== 'string') throw new Error(`webdis: XADD answered ${JSON.stringify(id)}`);
      }),
    receive: (count) =>
      takeTurns(count, LANES, QUEUES, async (queue): Promise<Message> => {
        const [id, payload] = (await command('EVALSHA', receiveSha, 1, key(queue), GROUP)) as [string, string];
        await command('XACK', key(queue), GROUP, id);
        await command('XDEL', key(queue), id);
        return { queue, payload };
      }),
    async stop() {
      client.close();
      await end(child, 'SIGTERM');
      await redis.stop();
    },
  };
}

export const systems: System[] = [
  {
    name: 'webdis + Redis commands',
    work: (durability) =>
      `HTTP in C: XADD, XREADGROUP (in a script of three lines, for webdis cannot write nested replies), XACK, XDEL, a request each: four against our three. No checks, no lease that ends. ${REDIS_DURABILITY[durability]}`,
    missing: () => missingProgram('webdis', 'webdis'),
    start: startWebdis,
  },
];
