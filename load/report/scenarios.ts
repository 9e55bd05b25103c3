// The section on the scenarios: what a request costs in each, and how long it takes.
import { ranges, stackedBars } from './charts.js';
import { micros, millis, times, whole } from './format.js';
import { highest, provenanceLines, section } from './section.js';

export const scenarios = section({
  part: 'scenarios',
  title: 'Scenarios',
  about:
    'What clients do, from one request to slow consumers behind a long backlog; every message different, every answer checked.',
  tell: (part) => {
    const foot = provenanceLines(part);
    const rows = part.rows.map((row) => ({
      ...row,
      name: [row.scenario, row.variant].filter(Boolean).join(' · '),
      both: row.workerMicros + row.redisMicros,
    }));
    const [dearest, cheapest] = [highest(rows, ({ both }) => both), highest(rows, ({ both }) => -both)];
    const [slowest, quickest] = [highest(rows, ({ p99 }) => p99), highest(rows, ({ p99 }) => -p99)];
    return {
      headlines: [],
      sentences: [
        `A request costs between ${micros(cheapest.both)} µs (${cheapest.name}) and ${micros(dearest.both)} µs (${dearest.name}) of CPU, ${times(dearest.both / cheapest.both)}.`,
        `p99 goes from ${millis(quickest.p99)} ms (${quickest.name}) to ${millis(slowest.p99)} ms (${slowest.name}).`,
      ],
      figures: [
        {
          name: 'scenario-cost',
          title: 'CPU per request by scenario',
          svg: stackedBars(
            { title: 'CPU per request by scenario', foot },
            rows.map((row) => ({ name: row.name, parts: { workers: row.workerMicros, Redis: row.redisMicros } })),
            'µs of CPU per request',
            micros,
          ),
        },
        {
          name: 'scenario-latency',
          title: 'Latency by scenario',
          svg: ranges({ title: 'Latency by scenario', foot }, rows),
        },
      ],
      table: {
        head: ['scenario', 'variant', 'workers µs', 'Redis µs', 'requests/s', 'p50 ms', 'p99 ms', 'requests'],
        rows: rows.map((row) => [
          row.scenario,
          row.variant,
          micros(row.workerMicros),
          micros(row.redisMicros),
          whole(row.perSecond),
          millis(row.p50),
          millis(row.p99),
          whole(row.requests),
        ]),
      },
    };
  },
});
