// npm run load:measure -- costs: SEND, RECV, FREE of one worker beside the floor.
import { startPeer, startRedis, startWorker } from '../bench/servers.js';
import { round, type Sample, type Stage } from '../bench/stages.js';
import { EVEN_SHARE } from '../bench/traffic.js';
import { PROGRAM, REDIS_CONF, type Measure } from './measuring.js';
import type { Rows } from './results.js';
import { costOf, ratios } from './rounds.js';

const FULL = { rounds: 9, count: 15 * EVEN_SHARE };
const QUICK = { rounds: 3, count: 5 * EVEN_SHARE };

const STAGE_OF: Record<Rows['costs'][number]['request'], Stage> = {
  floor: 'floor',
  joinedFloor: 'floor, writes joined',
  send: 'SEND',
  recv: 'RECV',
  free: 'FREE',
};

const costs: Measure<'costs'> = async ({ quick, say }) => {
  const size = quick ? QUICK : FULL;
  const redis = await startRedis('costs', REDIS_CONF);
  const [floor, floorJoined] = [await startPeer('floor', redis, false), await startPeer('floor', redis, true)];
  const worker = await startWorker(PROGRAM, redis);
  const servers = { redis, floor, floorJoined, worker };
  await round(servers, size.count); // V8 compiles
  const rounds: Record<Stage, Sample>[] = [];
  for (let r = 1; r <= size.rounds; r++) {
    say(`SEND, RECV, FREE beside the floor: round ${r} of ${size.rounds}`);
    rounds.push(await round(servers, size.count));
  }
  for (const server of [worker, floor, floorJoined, redis]) await server.stop();
  const of = (name: Stage): Sample[] => rounds.map((one) => one[name]);
  return Object.entries(STAGE_OF).map(([name, stage]) => {
    const request = name as keyof typeof STAGE_OF;
    const samples = of(stage);
    return { request, ...costOf(samples), ratio: ratios(samples, of('floor')) };
  });
};

export const parts = { costs };
