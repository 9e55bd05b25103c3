// The section on the peers: the same work in what a user would pick instead.
import type { Rows } from '../results.js';
import { ranges, stackedBars } from './charts.js';
import { list, micros, millis, times, whole } from './format.js';
import { groupBy, highest, provenanceLines, section } from './section.js';

type Row = Rows['peers'][number];

const DURABILITY: Record<Row['durability'], string> = {
  none: 'nothing waits for the disk',
  fsync: 'on disk before it is acknowledged',
};

const isOurs = ({ system }: Row): boolean => /aizumi/i.test(system);
const isTimed = (row: Row): row is Row & { p50: number; p99: number } => row.p50 !== undefined && row.p99 !== undefined;
const cost = ({ systemMicros }: Row): number => systemMicros;

export const peers = section({
  part: 'peers',
  title: 'Beside its peers',
  about:
    'Each message is sent, received and acknowledged; CPU time of the whole system, the client’s own work left out where it can be told apart. The table says what is not the same work.',
  tell: (part) => {
    const foot = provenanceLines(part);
    const groups = [...groupBy(part.rows, ({ durability }) => durability)].map(([durability, rows]) => ({
      durability: durability as Row['durability'],
      rows: rows.toSorted((a, b) => cost(a) - cost(b)),
    }));
    const timed = part.rows.some(isTimed);
    // one colour for one kind of process in all plots
    const partNames = [...new Set(part.rows.flatMap((row) => Object.keys(row.parts)))];
    return {
      headlines: groups.flatMap(({ durability, rows }) =>
        rows
          .filter(isOurs)
          .slice(0, 1)
          .map((us) => ({
            value: `${rows.indexOf(us) + 1} of ${rows.length}`,
            label: `by CPU per message, ${DURABILITY[durability]}: ${micros(us.systemMicros)} µs; ${rows[0] === us ? 'none costs less' : `least: ${rows[0]!.system}, ${micros(cost(rows[0]!))} µs`}`,
          })),
      ),
      sentences: groups.map(({ durability, rows }) => verdict(durability, rows)),
      figures: [
        ...groups.map(({ durability, rows }) => ({
          name: `peers-${durability}`,
          title: `CPU per message, ${DURABILITY[durability]}`,
          svg: stackedBars(
            { title: `CPU per message: ${DURABILITY[durability]}`, foot },
            rows.map((row) => ({ name: row.system, parts: row.parts })),
            'µs of CPU per message',
            micros,
            partNames,
          ),
        })),
        ...groups
          .map(({ durability, rows }) => ({ durability, rows: rows.filter(isTimed) }))
          .filter(({ rows }) => rows.length > 0)
          .map(({ durability, rows }) => ({
            name: `peers-${durability}-latency`,
            title: `Until a message sent by itself is acknowledged, ${DURABILITY[durability]}`,
            svg: ranges(
              { title: `Until a message sent by itself is acknowledged: ${DURABILITY[durability]}`, foot },
              rows.map((row) => ({ ...row, name: row.system })),
            ),
          })),
      ],
      table: {
        head: [
          'system',
          'version',
          'durability',
          'µs per message',
          'of which',
          'messages/s',
          ...(timed ? ['p50 ms', 'p99 ms'] : []),
          'the same work, and what is not',
        ],
        rows: groups.flatMap(({ rows }) =>
          rows.map((row) => [
            row.system,
            row.version,
            row.durability,
            micros(row.systemMicros),
            Object.entries(row.parts)
              .map(([name, value]) => `${name} ${micros(value)}`)
              .join(', '),
            whole(row.perSecond),
            ...(timed ? [row.p50, row.p99].map((ms) => (ms === undefined ? '–' : millis(ms))) : []),
            row.work,
          ]),
        ),
      },
    };
  },
});

/** Says where aizumi loses before it says where it wins. */
function verdict(durability: Row['durability'], rows: Row[]): string {
  const us = rows.find(isOurs);
  const when = `Where ${durability === 'none' ? 'nothing waits for the disk' : 'each message is on disk first'}`;
  if (!us) return `${when}, aizumi was not measured.`;
  const named = (some: Row[], of: (row: Row) => number): string =>
    list(some.map((row) => `${row.system} (${times(of(row))})`));
  const others = rows.filter((row) => !isOurs(row));
  const [cheaper, dearer] = [
    others.filter((row) => cost(row) < cost(us)),
    others.filter((row) => cost(row) >= cost(us)),
  ];
  const loses = cheaper.length > 0 ? `, more than ${named(cheaper, (row) => cost(us) / cost(row))}` : '';
  const wins =
    dearer.length > 0 ? `; what costs more, by how many times: ${named(dearer, (row) => cost(row) / cost(us))}` : '';
  return `${when}, aizumi costs ${micros(cost(us))} µs per message${loses}${wins}${shortest(us, rows)}.`;
}

function shortest(us: Row, rows: Row[]): string {
  if (!isTimed(us)) return '';
  const lowest = highest(rows.filter(isTimed), ({ p50 }) => -p50);
  return `; ${lowest.system} has the shortest p50, ${millis(lowest.p50)} ms (aizumi ${millis(us.p50)} ms)`;
}
