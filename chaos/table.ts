// Many rounds → one row per scenario and level: for people at the terminal, and for docs/durability.md.
import { LEVELS, groupBy } from './history.js';
import type { Round } from './round.js';

/** What docs/durability.md allows. */
const LINE = 100;
const NAMES = ['attempted', 'acked', 'unknown', 'lost', 'unexp.', '2 leases', 'order', '500', 'silence, ms'];

/** Of one server, stack and scenario. */
interface Row {
  scenario: string;
  level: string;
  figures: number[];
}

const sum = <T>(items: readonly T[], figure: (item: T) => number): number =>
  items.reduce((total, item) => total + figure(item), 0);

function rowsOf(rounds: readonly Round[]): Row[] {
  return [...groupBy(rounds, ({ scenario }) => scenario)].flatMap(([scenario, same]) => {
    const whole = [
      sum(same, ({ unexpected }) => unexpected),
      sum(same, ({ twoLeases }) => twoLeases),
      sum(same, ({ outOfOrder }) => outOfOrder),
      sum(same, ({ internal }) => internal),
      Math.max(...same.map(({ silenceMs }) => silenceMs)),
    ];
    const levels = LEVELS.filter((level) => same.some((round) => round.levels[level].attempted > 0));
    return levels.map((level, i) => {
      const count = (what: 'attempted' | 'acknowledged' | 'unknown' | 'lost'): number =>
        sum(same, (round) => round.levels[level][what]);
      return {
        scenario: i === 0 ? `${scenario} × ${same.length}` : '',
        level,
        figures: [
          ...[count('attempted'), count('acknowledged'), count('unknown'), count('lost')],
          ...(i === 0 ? whole : []),
        ],
      };
    });
  });
}

const perDeployment = (rounds: readonly Round[]): [string, Round[]][] => [
  ...groupBy(rounds, ({ server, stack }) => `${server}, ${stack === 'cluster' ? 'Cluster' : 'Sentinels'}`),
];

export function summary(rounds: readonly Round[]): string {
  return perDeployment(rounds)
    .map(([deployment, same]) => {
      const head = [deployment.padEnd(35), 'level'.padEnd(8), ...NAMES.map((name) => name.padStart(11))].join(' ');
      const lines = rowsOf(same).map(({ scenario, level, figures }) =>
        [scenario.padEnd(35), level.padEnd(8), ...figures.map((figure) => String(figure).padStart(11))].join(' '),
      );
      return [head, ...lines].join('\n');
    })
    .join('\n\n');
}

/** Tables of lines of at most {@link LINE} characters, each with where it comes from. */
export function markdown(rounds: readonly Round[]): string {
  return perDeployment(rounds)
    .map(([deployment, same]) =>
      [
        `${deployment}:`,
        '',
        `| scenario × rounds | level | ${NAMES.join(' | ')} |`,
        `|---|---|${NAMES.map(() => '---:|').join('')}`,
        ...rowsOf(same).map(({ scenario, level, figures }) => {
          const cells = NAMES.map((_, i) => figures[i]?.toLocaleString('en-US') ?? '');
          return `| ${[scenario, level, ...cells].join(' | ')} |`;
        }),
        '',
        ...wrapped(origin(same)),
      ].join('\n'),
    )
    .join('\n\n');
}

/** Commit, time and seeds of the rounds. */
function origin(rounds: readonly Round[]): string {
  const times = rounds.map(({ at }) => at).sort();
  const [from = '', to = ''] = [times[0], times.at(-1)].map((at) => at?.slice(0, 16).replace('T', ' '));
  const commits = [...new Set(rounds.map(({ commit }) => commit))].join(', ');
  const seeds = [...groupBy(rounds, ({ scenario }) => scenario)]
    .map(([scenario, same]) => `${scenario} ${ranges(same.map(({ seed }) => seed))}`)
    .join(', ');
  return `Commit ${commits}, ${from} to ${to.slice(from.slice(0, 10) === to.slice(0, 10) ? 11 : 0)} UTC; seeds: ${seeds}.`;
}

/** 1, 2, 3, 7 → 1 to 3, 7 */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && number <= last[1] + 1) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([from, to]) => (from === to ? String(from) : `${from} to ${to}`)).join(', ');
}

function wrapped(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= LINE) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
