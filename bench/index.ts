// npm run bench [-- --quick] [--markdown] [--replicated] [--worker dist/index.js]: what a request costs, in CPU time, beside the
// least that a Node broker could cost (bench/floor.mjs) and beside native Redis commands (bench/native.mjs). --replicated: only
// what durability and a Cluster cost. `npm run bench -- isolation`: what one client does to another, see isolation.ts.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BATCH_CONNECTIONS, measureBatches } from './batches.js';
import { compareCycles, type Contender } from './cycle.js';
import { residentMb } from '../harness/measure.js';
import { waitingMessagesMb } from './memory.js';
import { measureIsolation } from './isolation.js';
import { measureReplicated } from './replicated.js';
import { machineLines, replicatedReport, report, type Results } from './report.js';
import { folder, startPeer, startRedis, startWorker } from './servers.js';
import { round } from './stages.js';
import { EVEN_SHARE } from './traffic.js';
import { measureWaiting } from './waiting.js';

const repository = dirname(dirname(fileURLToPath(import.meta.url)));
const REDIS_CONF = join(repository, 'src/redis/redis.conf');

/** Requests per stage, and cycles, per round. */
const FULL = { rounds: 5, count: 15 * EVEN_SHARE, cycles: 6 * EVEN_SHARE, waiting: 1_000_000, withinMinutes: 12 };
const QUICK = { rounds: 2, count: 5 * EVEN_SHARE, cycles: 2 * EVEN_SHARE, waiting: 200_000, withinMinutes: 4 };

/** Requests per stage that are not counted: V8 compiles what runs often. */
const WARM_UP = 4 * EVEN_SHARE;

type Size = typeof FULL;

const say = (text: string): void => console.error(`… ${text}`); // progress, so that stdout is the result alone

async function measureHttp(program: string, size: Size): Promise<Pick<Results, 'rounds'> & { aizumi: Contender }> {
  const redis = await startRedis('redis-shipped', REDIS_CONF);
  const floor = await startPeer('floor', redis, false);
  const floorJoined = await startPeer('floor', redis, true);
  const worker = await startWorker(program, redis);
  const servers = { redis, floor, floorJoined, worker };
  say('warming up');
  await round(servers, WARM_UP);
  const rounds = [];
  for (let r = 1; r <= size.rounds; r++) {
    say(`SEND, RECV, FREE beside the floor: round ${r} of ${size.rounds}`);
    rounds.push(await round(servers, size.count));
  }
  await Promise.all([floor.stop(), floorJoined.stop()]);
  return { rounds, aizumi: { server: worker, redis } };
}

async function measureCycles(aizumi: Contender, size: Size): Promise<Results['cycles']> {
  say('complete cycles beside native commands on a stock Redis');
  const plain = await native('redis-stock', false);
  const joined = await native('redis-stock-joined', true);
  const costs = await compareCycles([aizumi, plain, joined], size.rounds, size.cycles);
  for (const { server, redis } of [plain, joined]) {
    await server.stop();
    await redis.stop();
  }
  return { aizumi: costs[0]!, plain: costs[1]!, joined: costs[2]! };
}

async function native(name: string, joinWrites: boolean): Promise<Contender> {
  const redis = await startRedis(name, undefined);
  return { redis, server: await startPeer('native', redis, joinWrites) };
}

async function measureMemory(program: string, size: Size): Promise<number> {
  say(`${size.waiting} waiting messages`);
  const redis = await startRedis('redis-memory', REDIS_CONF, ['--appendonly', 'no']); // the file takes no memory
  const worker = await startWorker(program, redis);
  const waitingMb = await waitingMessagesMb(redis, worker, size.waiting);
  await worker.stop();
  await redis.stop();
  return waitingMb;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      markdown: { type: 'boolean', default: false },
      replicated: { type: 'boolean', default: false },
      worker: { type: 'string', default: join(repository, 'dist/index.js') },
      seconds: { type: 'string', default: '20' },
      quiet: { type: 'string', default: '5' },
      only: { type: 'string', default: '' },
      together: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const program = resolve(values.worker);
  if (!existsSync(program)) throw new Error(`${program} is not there: npm run build makes it`);
  if (positionals[0] === 'isolation') {
    const table = await measureIsolation({
      program,
      conf: REDIS_CONF,
      seconds: Number(values.seconds),
      quietSeconds: Number(values.quiet),
      only: values.only.split(',').filter(Boolean),
      together: values.together,
      say,
    });
    console.log([...machineLines(repository, program, folder), '', table].join('\n'));
    return;
  }
  const size = values.quick ? QUICK : FULL;
  setTimeout(
    () => fail(new Error(`not done within ${size.withinMinutes} minutes`)),
    size.withinMinutes * 60_000,
  ).unref();

  if (values.replicated) {
    console.log(
      replicatedReport(await measureReplicated(program, REDIS_CONF, size.rounds, size.count), values.markdown),
    );
    return;
  }
  const machine = machineLines(repository, program, folder);
  const { rounds, aizumi } = await measureHttp(program, size);
  const cycles = await measureCycles(aizumi, size);
  const worker = residentMb(aizumi.server.pid);
  say('SENDs, a hundred in one body');
  const batches = [];
  for (const connections of BATCH_CONNECTIONS)
    batches.push({
      connections,
      samples: await measureBatches(aizumi.server, aizumi.redis, size.rounds, 4 * size.count, connections),
    });
  const workerAfterBatches = residentMb(aizumi.server.pid);
  say('10,000 waiting receivers');
  const waiters = await measureWaiting(program, aizumi.redis, size.rounds, size.count);
  await aizumi.server.stop();
  await aizumi.redis.stop();
  const waitingMb = await measureMemory(program, size);
  say('SEND at quorum, and through a Cluster');
  const replicated = await measureReplicated(program, REDIS_CONF, size.rounds, size.count);
  const results: Results = {
    count: size.count,
    rounds,
    batches,
    cyclesPerRound: size.cycles,
    cycles,
    waiters,
    waiting: size.waiting,
    waitingMb,
    replicated,
    worker,
    workerAfterBatches,
  };
  console.log(report(results, machine, values.markdown));
}

function fail(error: unknown): never {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

main().then(() => process.exit(0), fail);
