// npm run load:measure -- scenarios connections halfLoad soak: what the scenarios cost one worker and one Redis of its own.
import { MB, median, redisUsedMemory, residentMb } from '../harness/measure.js';
import { startRedis, startWorker } from '../bench/servers.js';
import type { HttpServer, RedisServer } from '../bench/servers.js';
import { stage } from '../bench/stages.js';
import type { Sample as Stage } from '../bench/stages.js';
import { cycles, deal, frees, receives, received, sends, takeIds } from '../bench/traffic.js';
import { costOf, defaults, runOn } from './cost.js';
import type { Measured } from './cost.js';
import { driftOf } from './drift.js';
import type { SoakSample } from './drift.js';
import { PROGRAM, REDIS_CONF } from './measuring.js';
import type { MeasureOptions } from './measuring.js';
import type { Cost, Rows } from './results.js';
import { sampleOf } from './samples.js';
import type { LoadOptions, Scenario } from './scenario.js';
import { SCENARIOS } from './scenarios/index.js';
import { nameOf } from './table.js';

interface Servers {
  worker: HttpServer;
  redis: RedisServer;
  /** The same, as load/cost.ts knows them. */
  measured: Measured;
}

const WARM_UP_S = 3;
/** Of which the median counts: what else the machine does shows in a 99th percentile first. */
const HALF_LOAD_ROUNDS = 3;

/** A part of its own. */
const SOAK = 'soak';

const scenarioNamed = (name: string): Scenario => SCENARIOS.find((scenario) => scenario.name === name)!;

export const parts = {
  async scenarios({ quick, say }: MeasureOptions): Promise<Rows['scenarios']> {
    const durationS = quick ? 2 : 15;
    const waiting = quick ? 100_000 : 1_000_000;
    const rows: Rows['scenarios'] = [];
    const servers = await start('scenarios');
    for (const scenario of SCENARIOS.filter(({ name }) => name !== SOAK)) {
      for (const variant of scenario.variants(defaults({ durationS, waiting }))) {
        say(nameOf({ scenario: scenario.name, variant: variant.name }));
        const { result, ...cost } = await costOf(servers.measured, scenario, variant, { durationS, waiting });
        if (result.notRun !== undefined) say(result.notRun);
        else
          rows.push({ scenario: scenario.name, variant: variant.name, requests: result.tally.all.requests, ...cost });
      }
    }
    await stop(servers);
    return rows;
  },

  /** Of `cycle`, all is per whole cycle but the latencies, which are of its single requests. */
  async connections({ quick, say }: MeasureOptions): Promise<Rows['connections']> {
    const rows: Rows['connections'] = [];
    const servers = await start('connections');
    for (const connections of [1, 4, 16, 64, 256]) {
      say(`${connections} connections`);
      // a multiple of 256 and of 100 addresses: every connection has as much to say
      const count = 6_400 * (connections === 1 || quick ? 1 : 4);
      const row = (request: Rows['connections'][number]['request'], { serverMicros, ...stage }: Stage): void => {
        const { redisMicros, perSecond, p50, p99 } = stage;
        rows.push({ request, connections, workerMicros: serverMicros, redisMicros, perSecond, p50, p99 });
      };
      const { worker, redis } = servers;
      const firstId = takeIds(count);
      row('send', await stage(worker, redis, deal(sends(count, firstId), connections)));
      const recv = await stage(worker, redis, deal(receives(count), connections));
      row('recv', recv);
      row('free', await stage(worker, redis, deal(frees(received(recv.bodies, firstId)), connections)));
      const cycle = await stage(worker, redis, cycles(count, takeIds(count), connections), count);
      row('cycle', { ...cycle, perSecond: cycle.perSecond / 3 });
    }
    await stop(servers);
    return rows;
  },

  /** An open loop at shares of the rate that closed connections reach; the goal is p99 <= 3 x p50 at a half. */
  async halfLoad({ quick, say }: MeasureOptions): Promise<Rows['halfLoad']> {
    const rows: Rows['halfLoad'] = [];
    const durationS = quick ? 3 : 10;
    const servers = await start('half-load');
    for (const name of ['send', 'cycle']) {
      const scenario = scenarioNamed(name);
      const [variant] = scenario.variants(defaults({}));
      const run = (options: Partial<LoadOptions>) =>
        costOf(servers.measured, scenario, variant!, { durationS, warmUpS: WARM_UP_S, ...options });
      const saturated = await run({});
      say(`${name}: saturated at ${Math.round(saturated.perSecond)} requests/s`);
      for (const shareOfSaturation of [0.25, 0.5, 0.75]) {
        const rounds: Cost[] = [];
        for (let round = 0; round < (quick ? 1 : HALF_LOAD_ROUNDS); round++)
          rounds.push(await run({ rate: Math.round(saturated.perSecond * shareOfSaturation) }));
        const middle = (of: (cost: Cost) => number): number => median(rounds.map(of));
        const p50 = middle((cost) => cost.p50);
        const p99 = middle((cost) => cost.p99);
        const all = rounds.map((cost) => cost.p99.toFixed(2)).join(', ');
        say(`${name} at ${shareOfSaturation}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms (${all})`);
        rows.push({ request: name, shareOfSaturation, perSecond: middle((cost) => cost.perSecond), p50, p99 });
      }
    }
    await stop(servers);
    return rows;
  },

  async soak({ quick, say }: MeasureOptions): Promise<Rows['soak']> {
    const servers = await start('soak');
    const { worker, redis, measured } = servers;
    const scenario = scenarioNamed(SOAK);
    const samples: Promise<Required<SoakSample>>[] = [];
    await runOn(measured, scenario, scenario.variants(defaults({}))[0]!, quick ? { durationS: 20 } : {}, {
      sample(interval, atSecond, seconds) {
        const sample = { ...sampleOf(interval, atSecond, seconds), workerMb: residentMb(worker.pid).now };
        samples.push(redisUsedMemory(redis.client).then((bytes) => ({ ...sample, redisMb: bytes / MB })));
        say(`${Math.round(atSecond)} s: ${Math.round(sample.perSecond)} requests/s, p99 ${sample.p99.toFixed(1)} ms`);
      },
    });
    const rows = await Promise.all(samples);
    for (const { name, from, to, unit } of driftOf(rows)?.of ?? [])
      say(`drift of ${name}: ${from.toFixed(2)} → ${to.toFixed(2)}${unit}`);
    await stop(servers);
    return rows;
  },
};

/** Warm: V8 has compiled what runs often. */
async function start(name: string): Promise<Servers> {
  const redis = await startRedis(`load-${name}`, REDIS_CONF);
  const worker = await startWorker(PROGRAM, redis);
  const measured = { url: worker.url, workerPid: worker.pid, redis: redis.client };
  const cycle = scenarioNamed('cycle');
  await runOn(measured, cycle, cycle.variants(defaults({}))[0]!, { durationS: WARM_UP_S });
  return { worker, redis, measured };
}

async function stop({ worker, redis }: Servers): Promise<void> {
  await worker.stop();
  await redis.stop();
}
