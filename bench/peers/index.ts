// npm run bench -- peers: what a user would pick instead of aizumi, and the floor, in one run on one machine.
import { cpuMicros, median, percentile } from '../../harness/measure.js';
import type { Options, Row } from '../results.js';
import { takeIds } from '../traffic.js';
import * as aizumi from './aizumi.js';
import * as beanstalkd from './beanstalkd.js';
import * as jetstream from './jetstream.js';
import * as library from './library.js';
import * as rabbitmq from './rabbitmq.js';
import { LANES, check, messages, timed, type Durability, type Message, type Running, type System } from './system.js';
import * as webdis from './webdis.js';

export const SYSTEMS: System[] = [aizumi, webdis, beanstalkd, jetstream, library, rabbitmq].flatMap((s) => s.systems);

const FULL = { rounds: 3, count: 4800, warmUp: 1600, alone: 800, withinMs: 400_000 };
const QUICK = { rounds: 1, count: 1600, warmUp: 800, alone: 400, withinMs: 150_000 };

export interface Size {
  /** Messages measured, and not measured before that; multiples of 100, so that every queue gets the same. */
  count: number;
  warmUp: number;
  /** Sent one after another, for the latencies. */
  alone: number;
}

export interface Measured {
  version: string;
  /** µs per message, by process. */
  parts: Record<string, number>;
  perSecond: number;
  /** Of a message by itself, from its way out to its acknowledgement, ms. */
  p50: number;
  p99: number;
}

/** Sends and receives all, and throws if anything is lost, doubled or altered. */
async function pass(name: string, running: Running, count: number) {
  const sent: Message[] = messages(count, takeIds(count));
  const before = cpu(running);
  const began = performance.now();
  await running.send(sent, LANES);
  const received = await running.receive(count);
  const seconds = (performance.now() - began) / 1000;
  const after = cpu(running);
  check(name, sent, received);
  const parts = Object.fromEntries(Object.keys(before).map((part) => [part, (after[part]! - before[part]!) / count]));
  return { parts, perSecond: count / seconds };
}

/** Sends them one after another, and throws as above. */
async function alone(name: string, running: Running, count: number): Promise<number[]> {
  const sent = messages(count, takeIds(count));
  const times = await (running.timesOf?.(sent) ?? timed(sent, (all, lanes) => running.send(all, lanes)));
  check(name, sent, await running.receive(count));
  return times;
}

const cpu = ({ processes }: Running): Record<string, number> =>
  Object.fromEntries(Object.entries(processes).map(([part, pid]) => [part, cpuMicros(pid)]));

export async function measure(system: System, durability: Durability, size: Size): Promise<Measured> {
  const scaled = (count: number): number => Math.max(100, Math.round((count * (system.share ?? 1)) / 100) * 100);
  const running = await system.start(durability);
  try {
    await pass(system.name, running, scaled(size.warmUp));
    const { parts, perSecond } = await pass(system.name, running, scaled(size.count));
    const times = await alone(system.name, running, scaled(size.alone));
    return { version: running.version, parts, perSecond, p50: percentile(times, 0.5), p99: percentile(times, 0.99) };
  } finally {
    await running.stop();
  }
}

interface Entry {
  system: System;
  durability: Durability;
  samples: Measured[];
  /** The first failure: then there is no result, for dropping bad rounds would flatter. */
  failure?: string;
}

/** Rounds over all systems, so that a noisy moment hits all alike; the median of the rounds is the result. */
export async function peers({ quick, say }: Options): Promise<Row[]> {
  const size = quick ? QUICK : FULL;
  const deadline = performance.now() + size.withinMs;
  const entries = present(say);
  for (let round = 1; round <= size.rounds; round++) {
    for (const entry of entries.filter(({ failure }) => failure === undefined)) {
      const { system, durability, samples } = entry;
      const what = `${system.name}, ${durability}, round ${round} of ${size.rounds}`;
      if (performance.now() > deadline) {
        say(`NOT MEASURED, for the time is up: ${what}`);
        continue;
      }
      say(what);
      try {
        samples.push(await measure(system, durability, size));
      } catch (error) {
        entry.failure = (error as Error).message;
        say(`FAILED: ${what}: ${entry.failure}`);
      }
    }
  }
  const good = entries.filter(({ samples, failure }) => samples.length > 0 && failure === undefined);
  for (const entry of entries)
    if (!good.includes(entry))
      say(`NO RESULT: ${entry.system.name}, ${entry.durability}: ${entry.failure ?? 'no time was left'}`);
  return good.map(row);
}

function present(say: Options['say']): Entry[] {
  const all = SYSTEMS.flatMap((system) => (['none', 'fsync'] as const).map((durability) => ({ system, durability })));
  return all.flatMap(({ system, durability }) => {
    const reason = system.missing?.(durability);
    if (reason) say(`SKIPPED: ${system.name}, ${durability}: ${reason}`);
    return reason ? [] : [{ system, durability, samples: [] }];
  });
}

function row({ system, durability, samples }: Entry): Row {
  const middle = (of: (sample: Measured) => number): number => median(samples.map(of));
  const parts = Object.fromEntries(
    Object.keys(samples[0]!.parts).map((part) => [part, middle((sample) => sample.parts[part]!)]),
  );
  return {
    system: system.name,
    version: samples[0]!.version,
    durability,
    systemMicros: Object.values(parts).reduce((a, b) => a + b, 0),
    parts,
    perSecond: middle((sample) => sample.perSecond),
    p50: middle((sample) => sample.p50),
    p99: middle((sample) => sample.p99),
  };
}
