// The section on the soak: whether memory or latency drifts when it runs for long.
import { percentile } from '../../harness/measure.js';
import type { Rows } from '../results.js';
import { lines } from './charts.js';
import { millis, times, whole } from './format.js';
import { provenanceLines, section } from './section.js';

type Row = Rows['soak'][number];
type Field = Exclude<keyof Row, 'atSecond'>;

export const soak = section({
  part: 'soak',
  title: 'Soak',
  about:
    'The full cycle for minutes on end. Drift: the median of the last fifth of the samples over that of the first.',
  tell: (part) => {
    const { rows } = part;
    const foot = provenanceLines(part);
    const fifth = Math.max(1, Math.floor(rows.length / 5));
    const middle = (some: Row[], field: Field): number =>
      percentile(
        some.map((row) => row[field]),
        0.5,
      );
    const begin = (field: Field): number => middle(rows.slice(0, fifth), field);
    const end = (field: Field): number => middle(rows.slice(-fifth), field);
    const drift = (field: Field): string => times(end(field) / begin(field));
    const line = (name: string, field: Field) => ({
      name,
      points: rows.map((row) => ({ x: row.atSecond, y: row[field] })),
    });
    const axes = { x: 'seconds since the start', xType: 'linear', dots: false, height: 240 } as const;
    const minutes = (rows.at(-1)!.atSecond - rows[0]!.atSecond) / 60;
    const last = `${minutes < 10 ? minutes.toFixed(1) : whole(minutes)} minutes`;
    return {
      headlines: [{ value: drift('workerMb'), label: `worker memory after ${last}; p99 ${drift('p99')}` }],
      sentences: [
        `Over ${last} p50 went from ${millis(begin('p50'))} to ${millis(end('p50'))} ms (${drift('p50')}), p99 from ${millis(begin('p99'))} to ${millis(end('p99'))} ms (${drift('p99')}).`,
        `The worker's memory went from ${whole(begin('workerMb'))} to ${whole(end('workerMb'))} MB (${drift('workerMb')}), Redis's from ${whole(begin('redisMb'))} to ${whole(end('redisMb'))} MB (${drift('redisMb')}).`,
      ],
      figures: [
        {
          name: 'soak-latency',
          title: 'Latency over time',
          svg: lines({ title: 'Soak: latency', foot }, [line('p50', 'p50'), line('p99', 'p99')], { ...axes, y: 'ms' }),
        },
        {
          name: 'soak-memory',
          title: 'Memory over time',
          svg: lines({ title: 'Soak: memory', foot }, [line('worker', 'workerMb'), line('Redis', 'redisMb')], {
            ...axes,
            y: 'MB',
          }),
        },
      ],
      table: {
        head: ['second', 'cycles/s', 'p50 ms', 'p99 ms', 'worker MB', 'Redis MB'],
        rows: rows.map((row) => [
          whole(row.atSecond),
          whole(row.perSecond),
          millis(row.p50),
          millis(row.p99),
          row.workerMb.toFixed(1),
          row.redisMb.toFixed(1),
        ]),
      },
    };
  },
});
