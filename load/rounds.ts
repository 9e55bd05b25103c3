// Variants of a deployment in turns, round by round, so that noise hits all of them alike: SEND, RECV, FREE through each.
import { drive } from '../bench/drive.js';
import { median } from '../harness/measure.js';
import type { HttpServer, RedisServer } from '../bench/servers.js';
import { stage, type Sample } from '../bench/stages.js';
import { deal, frees, received, receives, sends, takeIds, type Load } from '../bench/traffic.js';
import { paced } from './paced.js';
import type { Cost, Ratios } from './results.js';

export interface Variant {
  /** Of the dimension that is looked at, e.g. the number of queues. */
  value: number;
  worker: HttpServer;
  /** All that take the traffic. */
  redis: RedisServer[];
  load: Load;
  connections: number;
  /** Requests of each kind and round; without it as all. */
  count?: number;
  /** Requests per second; without it as many as can be. */
  rate?: number;
  /** First id of messages that wait already: RECVs get those. */
  backlogFrom?: number;
}

export const REQUESTS = ['send', 'recv', 'free'] as const;
type Requests = Parameters<typeof deal>[0];
type Request = (typeof REQUESTS)[number];
type Round = Record<Request, Sample>;

export type Compared = Cost & { value: number; request: Request; ratio: Ratios };

/** `count` requests of each kind through each variant in each round, after one that is not counted; every other backwards. */
export async function compare(variants: Variant[], rounds: number, count: number): Promise<Compared[]> {
  const samples = variants.map((): Round[] => []);
  for (const variant of variants) await once(variant, count); // V8 compiles
  for (let r = 0; r < rounds; r++) {
    const order = [...variants.keys()];
    for (const i of r % 2 === 0 ? order : order.reverse()) samples[i]!.push(await once(variants[i]!, count));
  }
  return variants.flatMap(({ value }, i) =>
    REQUESTS.map((request) => {
      const of = (from: number): Sample[] => samples[from]!.map((round) => round[request]);
      return { value, request, ...costOf(of(i)), ratio: ratios(of(i), of(0)) };
    }),
  );
}

/** Leaves as many messages waiting as there were. */
async function once(variant: Variant, usualCount: number): Promise<Round> {
  const { worker, redis, load, connections, backlogFrom, rate, count = usualCount } = variant;
  const run = (requests: Requests): ReturnType<typeof stage> =>
    stage(worker, redis, deal(requests, connections), count, rate === undefined ? drive : paced(rate));
  const firstId = takeIds(count);
  const send = await run(sends(count, firstId, load));
  const recv = await run(receives(count, load));
  const held =
    backlogFrom === undefined
      ? received(recv.bodies, firstId, load)
      : received(recv.bodies, backlogFrom, load, firstId + count - backlogFrom);
  const free = await run(frees(held));
  return { send, recv, free };
}

/** Medians. */
export function costOf(samples: Sample[]): Cost {
  const of = (field: keyof Sample): number => median(samples.map((sample) => sample[field]));
  return {
    workerMicros: of('serverMicros'),
    redisMicros: of('redisMicros'),
    perSecond: of('perSecond'),
    p50: of('p50'),
    p99: of('p99'),
  };
}

/** @param base of the same rounds */
export function ratios(samples: Sample[], base: Sample[]): Ratios {
  const ratio = (of: (sample: Sample) => number): number => median(samples.map((one, i) => of(one) / of(base[i]!)));
  return {
    worker: ratio((sample) => sample.serverMicros),
    redis: ratio((sample) => sample.redisMicros),
    both: ratio((sample) => sample.serverMicros + sample.redisMicros),
  };
}
