// Probes of Redis and of its Sentinel, as often as in an hour or part of one: none may leave anything behind.
import { NAMESPACE, call, exec, get } from './kubectl.js';
import type { Doc } from './kubectl.js';
import { REDIS, pods } from './pods.js';
import type { Check } from './step.js';

const TIMES = 300;
const TOLD_OF_CHILDREN = /we can't find|unmatched pid/;
const RUN_MS = 300_000;

const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');

/** Runs a pod's probes again and again, and counts zombies in both containers. */
export async function probes(): Promise<Check[]> {
  const { spec } = await get('statefulset', 'redis', '--namespace', NAMESPACE);
  const containers = spec.template.spec.containers as Doc[];
  const [pod] = await pods(REDIS);
  const found: Check[] = [];
  for (const container of containers) {
    const commands = ['readinessProbe', 'livenessProbe', 'startupProbe'].flatMap((probe) => {
      const command = container[probe]?.exec?.command as string[] | undefined;
      return command ? [quoted(command)] : [];
    });
    const where = { pod: pod!.name, container: container.name as string };
    const loop = commands.map(
      (command) => `i=0; while [ $i -lt ${TIMES} ]; do ${command} >/dev/null 2>&1; i=$((i+1)); done`,
    );
    await exec(where, ['sh', '-c', loop.join('; ')], { withinMs: RUN_MS });
    const states = await exec(where, ['sh', '-c', 'cat /proc/[0-9]*/stat 2>/dev/null']);
    const zombies = states.split('\n').filter((line) => line.includes(') Z ')).length;
    found.push({
      name: `${commands.length * TIMES} probes of ${container.name as string}`,
      seen: `${zombies} zombies`,
      broken: zombies > 0,
    });
  }
  return found;
}

/** Whether Redis or Sentinel wrote of children that are not theirs. For the end of a run. */
export async function logs(): Promise<Check[]> {
  const written = await Promise.all(
    (await pods(REDIS)).map(({ name }) =>
      call(['--namespace', NAMESPACE, 'logs', name, '--all-containers', '--tail=-1']).then(({ stdout }) => stdout),
    ),
  );
  const lines = written
    .join('\n')
    .split('\n')
    .filter((line) => TOLD_OF_CHILDREN.test(line));
  return [
    {
      name: "lines of Redis and Sentinel of children they can't find",
      seen: lines.length === 0 ? 'none' : `${lines.length}, the first: ${lines[0]}`,
      broken: lines.length > 0,
    },
  ];
}
