// What the scenarios of `npm run load` cost one worker and a Redis of its own: run as a user runs them, with --json.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { median } from '../harness/measure.js';
import { GOALS, atMost } from './goals.js';
import type { Options, Row } from './results.js';
import { REPOSITORY, startRedis, startWorker, stopAll } from './servers.js';

/** What load prints of a run, as far as it is wanted here. */
interface LoadResult {
  scenario: string;
  variant: string;
  notRun?: string;
  seconds: number;
  all: { requests: number; messages: number; perSecond: number; p50: number; p99: number };
  /** µs of CPU in the timed part. */
  usage: { workerMicros: number; redisMicros: number };
  drift?: { samples: Record<string, number>[]; of: { name: string; from: number; to: number; unit: string }[] };
}

type Load = (scenario: string, ...args: (string | number)[]) => Promise<LoadResult[]>;

const WARM_UP_S = 3;
/** Of which the median counts: what else the machine does shows in a 99th percentile first. */
const HALF_LOAD_ROUNDS = 3;

/** Runs load against a worker that is warm. */
async function withLoad<T>(measure: (load: Load) => Promise<T>): Promise<T> {
  const redis = await startRedis();
  const worker = await startWorker(redis);
  const target = ['--url', worker.url, '--worker-pid', worker.pid, '--redis-pid', redis.pid, '--json'];
  const load: Load = async (scenario, ...more) => {
    const args = ['--import', 'tsx', 'load/index.ts', ...target, '--scenario', scenario, ...more].map(String);
    const child = spawn(process.execPath, args, { cwd: REPOSITORY, stdio: ['ignore', 'pipe', 'inherit'] });
    let json = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (json += text));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`npm run load ended with ${code}: ${args.join(' ')}`);
    return (JSON.parse(json) as { results: LoadResult[] }).results;
  };
  await load('cycle', '--duration', WARM_UP_S);
  const measured = await measure(load);
  await stopAll(worker, redis);
  return measured;
}

/** CPU per request, in `batches` per message. */
export const scenarios = ({ quick, say }: Options): Promise<Row[]> =>
  withLoad(async (load) => {
    const names = 'send receive cycle mixed queues payloads batches wake-up durability backlog'.split(' ');
    const size = ['--duration', quick ? 2 : 15, '--waiting', quick ? 100_000 : 1_000_000];
    const rows: Row[] = [];
    for (const name of names) {
      say(name);
      for (const { scenario, variant, notRun, seconds, all, usage } of await load(name, ...size)) {
        const per = scenario === 'batches' ? all.messages : all.requests;
        const [workerMicros, redisMicros] = [usage.workerMicros / per, usage.redisMicros / per];
        const figures = { workerMicros, redisMicros, perSecond: per / seconds, p50: all.p50, p99: all.p99 };
        if (notRun === undefined) rows.push({ scenario, variant, requests: all.requests, ...figures });
        else say(notRun);
      }
    }
    return rows;
  });

/** An open loop at shares of the rate that closed connections reach. */
export const halfLoad = ({ quick, say }: Options): Promise<Row[]> =>
  withLoad(async (load) => {
    const timed = ['--duration', quick ? 3 : 10, '--warm-up', WARM_UP_S];
    const rows: Row[] = [];
    for (const request of ['send', 'cycle']) {
      const [saturated] = await load(request, ...timed);
      for (const share of [0.25, 0.5, 0.75]) {
        const rate = Math.round(saturated!.all.perSecond * share);
        const rounds: LoadResult[] = [];
        for (let round = 0; round < (quick ? 1 : HALF_LOAD_ROUNDS); round++)
          rounds.push(...(await load(request, ...timed, '--rate', rate)));
        const middle = (field: 'perSecond' | 'p50' | 'p99'): number => median(rounds.map(({ all }) => all[field]));
        const [p50, p99] = [middle('p50'), middle('p99')];
        const judged = share === 0.5 ? atMost(p99 / p50, GOALS.p99OverP50) : {};
        rows.push({ request, shareOfSaturation: share, perSecond: middle('perSecond'), p50, p99, ...judged });
        say(`${request} at ${share} of ${Math.round(saturated!.all.perSecond)}/s: p99 ${p99.toFixed(2)} ms`);
      }
    }
    return rows;
  });

/** Ten minutes of the full cycle. */
export const soak = ({ quick, say }: Options): Promise<Row[]> =>
  withLoad(async (load) => {
    const [result] = await load('soak', ...(quick ? ['--duration', 20, '--sample', 1] : []));
    const { samples, of } = result!.drift!;
    for (const { name, from, to, unit } of of) say(`${name}: ${from.toFixed(2)} → ${to.toFixed(2)}${unit}`);
    return samples;
  });
