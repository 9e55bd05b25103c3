// npm run load -- --url http://… --scenario NAME: options → scenarios, one after another → a table of each, and the verdict.
import { cpuMicros, residentMb } from '../harness/measure.js';
import { LoadError, checkBroker } from './deployment.js';
import { driftOf, sampleOf } from './drift.js';
import type { Sample } from './drift.js';
import { parseCommand } from './options.js';
import type { Command } from './options.js';
import { createProgress } from './progress.js';
import { runVariant } from './run.js';
import type { Scenario, Variant } from './scenario.js';
import { asJson, faults, nameOf, table } from './table.js';

/** Exit codes. */
const BROKEN = 1;
const NOT_RUN = 2;
const INTERRUPTED = 130;

let isStopped = false;
/** Ends the current run as if its time were up, so that it leaves nothing behind; a second signal ends the process at once. */
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (isStopped) process.exit(INTERRUPTED);
    isStopped = true;
    console.error('\nending: remaining messages are drained first (interrupt again to leave them)');
  });
}

const progress = createProgress();

async function main(): Promise<number> {
  const command = parseCommand(process.argv.slice(2), process.env);
  if (typeof command === 'string') {
    console.log(command);
    return 0;
  }
  const version = await checkBroker(command.deployment);
  const say = (text: string): void => (command.json ? console.error(text) : console.log(text));
  say(`aizumi ${version} at ${command.deployment.url}`);
  const results: object[] = [];
  let broken = 0;
  for (const scenario of command.scenarios) {
    for (const variant of scenario.variants(command.options)) {
      if (isStopped) break;
      const { json, isBroken } = await runOne(command, scenario, variant, say);
      results.push(json);
      if (isBroken) broken += 1;
    }
  }
  if (command.json) console.log(JSON.stringify({ url: command.deployment.url, version, results }, undefined, 1));
  if (isStopped) return INTERRUPTED;
  say(broken === 0 ? '\nno faults found' : `\n${broken} of ${results.length} runs FAILED`);
  return broken === 0 ? 0 : BROKEN;
}

async function runOne(
  { deployment, options, workerPid, redisPid }: Command,
  scenario: Scenario,
  variant: Variant,
  say: (text: string) => void,
): Promise<{ json: object; isBroken: boolean }> {
  const name = nameOf({ scenario: scenario.name, variant: variant.name });
  const samples: Sample[] = [];
  const result = await runVariant(deployment, scenario, variant, options, {
    isStopped: () => isStopped,
    progress: (part, fraction, tally) => progress.show(part === '' ? name : `${name}, ${part}`, fraction, tally),
    sample: (interval, atSecond, seconds) =>
      samples.push({
        ...sampleOf(interval, atSecond, seconds),
        workerMb: ofProcess(workerPid, memory),
        redisMb: ofProcess(redisPid, memory),
      }),
    usage: () => ({
      workerMicros: ofProcess(workerPid, cpuMicros) ?? 0,
      redisMicros: ofProcess(redisPid, cpuMicros) ?? 0,
    }),
  }).finally(() => progress.clear());
  const drift = driftOf(samples);
  const found = faults(result);
  const last = result.firstAddress + variant.queues - 1;
  say(
    `\n${name}: ${result.seconds.toFixed(1)} s, ${result.connections} connections, addresses ${result.firstAddress} to ${last}`,
  );
  say(table(result, drift));
  for (const fault of found) say(`FAILED: ${fault}`);
  return { json: asJson(result, drift), isBroken: found.length > 0 };
}

const memory = (pid: number): number => residentMb(pid).now;

/** Undefined if the process does not run on this machine, or has ended. */
function ofProcess(pid: number | undefined, figure: (pid: number) => number): number | undefined {
  try {
    return pid === undefined ? undefined : figure(pid);
  } catch {
    return undefined;
  }
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(error instanceof LoadError ? error.message : error);
    process.exit(NOT_RUN);
  },
);
