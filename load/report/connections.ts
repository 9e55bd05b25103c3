// The sections on throughput and latency: over connections, and at a share of what saturates a worker.
import { lines } from './charts.js';
import { NARROW } from './drawing.js';
import { list, micros, millis, short, times, whole } from './format.js';
import { groupBy, highest, nameOf, provenanceLines, section } from './section.js';

/** The issue's goal at half of the saturation rate. */
const P99_OVER_P50 = 3;

export const connections = section({
  part: 'connections',
  title: 'Throughput and latency over connections',
  about:
    'As many clients as there are connections, each with one request under way. Client and server share the cores: the requests per second are those of this machine, not those of the worker alone.',
  tell: (part) => {
    const byRequest = groupBy(part.rows, ({ request }) => request);
    const foot = provenanceLines(part);
    const of = (field: 'perSecond' | 'p50' | 'p99') =>
      [...byRequest].map(([request, rows]) => ({
        name: nameOf(request),
        points: rows.map((row) => ({ x: row.connections, y: row[field] })),
      }));
    const peaks = [...byRequest.values()].map((rows) => highest(rows, ({ perSecond }) => perSecond));
    const most = highest(part.rows, (row) => row.connections).connections;
    const least = highest(part.rows, (row) => -row.connections).connections;
    const latencies = [...byRequest].map(([request, rows]) => {
      const at = (count: number) => rows.find((row) => row.connections === count);
      return `${nameOf(request)} ${[least, most].map((count) => millis(at(count)?.p99 ?? NaN)).join(' → ')} ms`;
    });
    const axes = { x: 'connections', xType: 'log', xTick: short } as const;
    const latency = (field: 'p50' | 'p99') => ({
      name: `latency-${field}`,
      title: `${field} over connections`,
      svg: lines({ title: `${field} over connections`, foot, width: NARROW }, of(field), {
        ...axes,
        y: 'ms, both axes logarithmic',
        logY: true,
      }),
    });
    return {
      headlines: peaks.slice(0, 1).map((row) => ({
        value: `${whole(row.perSecond)}/s`,
        label: `most ${nameOf(row.request)} requests a second through one worker, at ${row.connections} connections`,
      })),
      sentences: [
        `Throughput is highest with ${list(peaks.map((row) => `${row.connections} connections for ${nameOf(row.request)} (${whole(row.perSecond)}/s)`))}.`,
        `From ${least} to ${most} connections p99 goes ${list(latencies)}.`,
      ],
      figures: [
        {
          name: 'throughput',
          title: 'Throughput over connections',
          svg: lines({ title: 'Throughput over connections', foot }, of('perSecond'), {
            ...axes,
            y: 'requests per second, one worker',
            yTick: short,
          }),
        },
        latency('p50'),
        latency('p99'),
      ],
      table: {
        head: ['request', 'connections', 'requests/s', 'p50 ms', 'p99 ms', 'worker µs', 'Redis µs'],
        rows: part.rows.map((row) => [
          nameOf(row.request),
          row.connections,
          whole(row.perSecond),
          millis(row.p50),
          millis(row.p99),
          micros(row.workerMicros),
          micros(row.redisMicros),
        ]),
      },
    };
  },
});

export const halfLoad = section({
  part: 'halfLoad',
  title: 'Latency below saturation',
  about:
    'Requests at a fixed rate, a share of the rate that saturates the worker: how it answers when it is not overrun.',
  tell: (part) => {
    const byRequest = groupBy(part.rows, ({ request }) => request);
    const half = [...byRequest.values()].map((rows) => highest(rows, (row) => -Math.abs(row.shareOfSaturation - 0.5)));
    const worst = highest(half, (row) => row.p99 / row.p50);
    const percent = (share: number): string => `${whole(share * 100)} %`;
    const met = worst.p99 / worst.p50 <= P99_OVER_P50;
    const figures = [...byRequest].map(([request, rows]) => {
      const sorted = rows.toSorted((a, b) => a.shareOfSaturation - b.shareOfSaturation);
      const line = (field: 'p50' | 'p99') => ({
        name: field,
        points: sorted.map((row) => ({ x: row.shareOfSaturation, y: row[field] })),
      });
      const title = `${nameOf(request)}: latency below saturation`;
      return {
        name: `half-load-${request.replace(/[^\w]+/g, '-')}`,
        title,
        svg: lines({ title, foot: provenanceLines(part), width: NARROW }, [line('p50'), line('p99')], {
          x: 'share of the saturation rate',
          y: 'ms',
          xTick: percent,
        }),
      };
    });
    return {
      headlines: [
        {
          value: times(worst.p99 / worst.p50),
          label: `p99 over p50 of ${nameOf(worst.request)} at ${percent(worst.shareOfSaturation)} of saturation; goal ≤ ${P99_OVER_P50} ×`,
          isOver: !met,
        },
      ],
      sentences: [
        `At about half of the saturation rate ${list(half.map((row) => `${nameOf(row.request)} has p50 ${millis(row.p50)} ms and p99 ${millis(row.p99)} ms`))}.`,
        `The widest is ${nameOf(worst.request)}, p99 ${times(worst.p99 / worst.p50)} its p50: ${met ? 'within' : 'over'} the goal of ${P99_OVER_P50} ×.`,
      ],
      figures,
      table: {
        head: ['request', 'share of saturation', 'requests/s', 'p50 ms', 'p99 ms', 'p99 ÷ p50'],
        rows: part.rows.map((row) => [
          nameOf(row.request),
          percent(row.shareOfSaturation),
          whole(row.perSecond),
          millis(row.p50),
          millis(row.p99),
          times(row.p99 / row.p50),
        ]),
      },
    };
  },
});
