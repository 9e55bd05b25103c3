// Command line → what to run and how. An invalid option is named.
import { parseArgs } from 'node:util';
import { LoadError } from './deployment.js';
import type { Deployment } from './deployment.js';
import type { LoadOptions, Scenario } from './scenario.js';
import { SCENARIOS } from './scenarios.js';

export interface Command {
  deployment: Deployment;
  scenarios: readonly Scenario[];
  options: LoadOptions;
  workerPid?: number | undefined;
  redisPid?: number | undefined;
  json: boolean;
}

export const HELP = `npm run load -- --url http://127.0.0.1:8080 --scenario cycle [options]

Drives a broker that runs already, checks every answer and the whereabouts of every message, and leaves nothing behind.
Exits with 1 when a message was lost, doubled or changed, or an answer was wrong; with 2 when it could not run.

  --url URL            of the broker, or of the balancer in front of it
  --scenario NAME      one of those that --list lists, or all
  --duration S         of the timed part of each variant (10; soak 600)
  --warm-up S          the same load before it, checked but not counted (0)
  --connections N      at the same time (64)
  --rate N             requests per second over all connections, answered or not (as fast as the answers come)
  --waiting N          of backlog: messages that wait (1000000)
  --sample S           of soak: time between samples (a 60th of the duration)
  --timeout S          no answer for so long is none (10)
  --first-address N    the run's own addresses from here on (random)
  --api-key KEY        sent as Authorization: Bearer KEY (AIZUMI_LOAD_API_KEY)
  --worker-pid PID     of a broker on this machine: its CPU and memory are among the figures
  --redis-pid PID      of its Redis, likewise
  --keep               what is left stays in the queues, counted by STAT
  --json               the results as JSON, for programs
  --list               the scenarios
  --help               this`;

const TEXT = { type: 'string' } as const;
const FLAG = { type: 'boolean', default: false } as const;
const MOST = Number.MAX_SAFE_INTEGER;
const MOST_ADDRESS = 2 ** 32 - 1;

/** The text to print instead of running, for --help and --list. @throws LoadError that names an invalid option */
export function parseCommand(args: string[], env: NodeJS.ProcessEnv): Command | string {
  const values = parse(args);
  if (values.help) return HELP;
  if (values.list) return list();
  if (values.url === undefined)
    throw new LoadError(
      'load does not start a broker: start one (npm start), then name it: --url http://127.0.0.1:8080',
    );
  if (!URL.canParse(values.url) || !/^https?:$/.test(new URL(values.url).protocol))
    throw new LoadError(`--url ${values.url} is not an http:// or https:// URL`);
  const number = (name: Exclude<keyof typeof values, 'help' | 'list' | 'json' | 'keep'>, least: number, most = MOST) =>
    asNumber(name, values[name], least, most);
  const key = values['api-key'] ?? env.AIZUMI_LOAD_API_KEY;
  return {
    deployment: {
      url: values.url,
      headers: { 'Content-Type': 'application/json', ...(key ? { Authorization: `Bearer ${key}` } : {}) },
    },
    scenarios: chosen(values.scenario),
    options: {
      connections: number('connections', 1) ?? 64,
      durationS: number('duration', 1),
      warmUpS: number('warm-up', 0),
      rate: number('rate', 1),
      waiting: number('waiting', 1) ?? 1_000_000,
      sampleS: number('sample', 1),
      timeoutS: number('timeout', 2) ?? 10,
      firstAddress: number('first-address', 0, MOST_ADDRESS),
      keep: values.keep,
    },
    workerPid: number('worker-pid', 1),
    redisPid: number('redis-pid', 1),
    json: values.json,
  };
}

function parse(args: string[]) {
  try {
    const options = {
      ...{ url: TEXT, scenario: TEXT, duration: TEXT, connections: TEXT, rate: TEXT, waiting: TEXT, sample: TEXT },
      ...{
        'warm-up': TEXT,
        timeout: TEXT,
        'first-address': TEXT,
        'api-key': TEXT,
        'worker-pid': TEXT,
        'redis-pid': TEXT,
      },
      ...{ keep: FLAG, json: FLAG, list: FLAG, help: FLAG },
    };
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new LoadError(`${(error as Error).message}; --help lists the options`);
  }
}

function asNumber(name: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isInteger(number) || number < least || number > most)
    throw new LoadError(
      `--${name} ${text} must be a whole number from ${least}${most === MOST ? ' on' : ` to ${most}`}`,
    );
  return number;
}

function chosen(name: string | undefined): readonly Scenario[] {
  if (name === 'all') return SCENARIOS;
  const found = SCENARIOS.filter((scenario) => scenario.name === name);
  if (found.length === 0)
    throw new LoadError(`--scenario is all, or one of ${SCENARIOS.map((scenario) => scenario.name).join(', ')}`);
  return found;
}

const list = (): string => SCENARIOS.map(({ name, summary }) => `${name.padEnd(12)}${summary}`).join('\n');
