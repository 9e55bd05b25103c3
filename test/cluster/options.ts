// The command line of npm run test:cluster.
import { execFile } from 'node:child_process';
import { parseArgs, promisify } from 'node:util';
import { OVERLAY } from './install.js';
import { STEPS } from './steps.js';
import type { Tool } from './step.js';

export const USAGE = `usage: npm run test:cluster -- [options]

Installs production into the cluster of kubectl's current context and breaks it there, under load. Only for a cluster that
nobody else needs: nodes are drained and cut off, and its DNS is taken away for a while. The image aizumi:0.1.0 must be on
its nodes: kind load docker-image aizumi:0.1.0, or minikube image load aizumi:0.1.0.

  --only NAMES      these steps, separated by commas; --list prints all
  --skip NAMES      all but these
  --cut COMMAND     cuts a node off the network; {node} is its name, {n} the number at the end of its name
  --mend COMMAND    gives it back
  --alone           nobody else uses the cluster, although there are other namespaces
  --image NAME      what the test's own pods run: any image with Node; default aizumi:0.1.0
  --overlay FOLDER  default ${OVERLAY}: an overlay of yours may name another image
  --per-second N    SENDs a second, over all connections, in each row; default 200: what is asked of a cluster on one small
                    machine must leave it something to fail over with
  --logs FOLDER     keeps the logs of all pods during each event there
  --keep            leaves all that was installed; the next run uses it

Steps that need --cut and --mend, or a cluster of one's own, are skipped by name without them. Exits with 1 when an acknowledged
message is lost, when a planned stop costs a request, or when a check fails; a time over its bound is printed as missed.`;

export interface Options {
  steps: readonly string[];
  tool: Tool | undefined;
  isAlone: boolean;
  image: string;
  overlay: string;
  keep: boolean;
  perSecond: number;
  logs: string | undefined;
}

const ALL = Object.keys(STEPS);

/** @returns undefined when it was only asked for a text, which is printed. @throws Error that says which option is wrong */
export function options(args: readonly string[]): Options | undefined {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ only: text, skip: text, cut: text, mend: text, alone: flag, keep: flag, list: flag, help: flag, logs: text },
      'per-second': { ...text, default: '200' },
      image: { ...text, default: 'aizumi:0.1.0' },
      overlay: { ...text, default: OVERLAY },
    },
  });
  if (values.help || values.list) {
    console.log(values.help ? USAGE : ALL.join('\n'));
    return undefined;
  }
  const { cut = process.env.AIZUMI_TEST_CLUSTER_CUT, mend = process.env.AIZUMI_TEST_CLUSTER_MEND } = values;
  if ((cut === undefined) !== (mend === undefined)) throw new Error('--cut and --mend go together');
  const skipped = named('skip', values.skip ?? '');
  return {
    steps: (values.only === undefined ? ALL : named('only', values.only)).filter((name) => !skipped.includes(name)),
    tool: cut === undefined || mend === undefined ? undefined : { cut: commandFor(cut), mend: commandFor(mend) },
    isAlone: values.alone,
    image: values.image,
    overlay: values.overlay,
    keep: values.keep,
    perSecond: Number(values['per-second']),
    logs: values.logs,
  };
}

function named(option: string, list: string): string[] {
  const names = list.split(',').filter(Boolean);
  const unknown = names.find((name) => !ALL.includes(name));
  if (unknown !== undefined) throw new Error(`--${option}: there is no ${unknown}; --list prints all`);
  return names;
}

/** {node} and {n} in the command are the node's name and its number. */
const commandFor =
  (command: string): Tool['cut'] =>
  (node) =>
    promisify(execFile)('sh', [
      '-c',
      command.replaceAll('{node}', node).replaceAll('{n}', /\d+$/.exec(node)?.[0] ?? '0'),
    ]);
