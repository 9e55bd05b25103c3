// What a user would pick instead of aizumi, and the floor, in one run on one machine: the part `peers` of the results.
import { median } from '../harness/measure.js';
import * as aizumi from './peers/aizumi.js';
import * as beanstalkd from './peers/beanstalkd.js';
import * as jetstream from './peers/jetstream.js';
import * as library from './peers/library.js';
import { measure, type Measured } from './peers/measure.js';
import * as rabbitmq from './peers/rabbitmq.js';
import type { Durability, System } from './peers/system.js';
import * as webdis from './peers/webdis.js';
import type { MeasureOptions } from './measuring.js';
import type { Rows } from './results.js';

export const SYSTEMS: System[] = [aizumi, webdis, beanstalkd, jetstream, library, rabbitmq].flatMap((s) => s.systems);

const FULL = { rounds: 3, count: 4800, warmUp: 1600, alone: 800, withinMs: 400_000 };
const QUICK = { rounds: 1, count: 1600, warmUp: 800, alone: 400, withinMs: 150_000 };

interface Entry {
  system: System;
  durability: Durability;
  samples: Measured[];
  /** The first failure: then there is no result, for dropping bad rounds would flatter. */
  failure?: string;
}

/** Rounds over all systems, so that a noisy moment hits all alike; the median of the rounds is the result. */
async function peers({ quick, say }: MeasureOptions): Promise<Rows['peers']> {
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

function present(say: MeasureOptions['say']): Entry[] {
  const all = SYSTEMS.flatMap((system) => (['none', 'fsync'] as const).map((durability) => ({ system, durability })));
  return all.flatMap(({ system, durability }) => {
    const reason = system.missing?.(durability);
    if (reason) say(`SKIPPED: ${system.name}, ${durability}: ${reason}`);
    return reason ? [] : [{ system, durability, samples: [] }];
  });
}

function row({ system, durability, samples }: Entry): Rows['peers'][number] {
  const middle = (of: (sample: Measured) => number): number => median(samples.map(of));
  const parts = Object.fromEntries(
    Object.keys(samples[0]!.parts).map((part) => [part, middle((sample) => sample.parts[part]!)]),
  );
  return {
    system: system.name,
    version: samples[0]!.version,
    work: system.work(durability),
    durability,
    systemMicros: Object.values(parts).reduce((a, b) => a + b, 0),
    parts,
    perSecond: middle((sample) => sample.perSecond),
    p50: middle((sample) => sample.p50),
    p99: middle((sample) => sample.p99),
  };
}

export const parts = { peers };
