// The section on scaling: whether a request costs the same as there is more of everything.
import type { Dimension, Rows } from '../results.js';
import { lines } from './charts.js';
import { NARROW } from './drawing.js';
import { bytes, list, micros, millis, short, times, whole } from './format.js';
import { groupBy, highest, nameOf, provenanceLines, section, type Figure } from './section.js';

/** The goal: CPU per request, over that of the dimension's first value. */
export const FLAT = 1.1;

interface Words {
  title: string;
  axis: string;
  /** `from` and `to` with the unit. */
  span: (from: number, to: number) => string;
  tick: (value: number) => string;
}

const spanOf =
  (what: string) =>
  (from: number, to: number): string =>
    `from ${whole(from)} to ${whole(to)} ${what}`;

const WORDS: Record<Dimension, Words> = {
  workers: { title: 'Workers', axis: 'worker processes, 64 connections each', span: spanOf('workers'), tick: short },
  workersAtRate: {
    title: 'Workers at one rate',
    axis: 'worker processes, each at the same rate',
    span: (from, to) => `from ${whole(from)} to ${whole(to)} workers at the same rate each`,
    tick: short,
  },
  shards: { title: 'Cluster shards', axis: 'primaries the queues are on', span: spanOf('shards'), tick: short },
  queues: { title: 'Queues', axis: 'queues in use', span: spanOf('queues'), tick: short },
  waiting: { title: 'Backlog', axis: 'messages waiting in the queue', span: spanOf('messages waiting'), tick: short },
  payload: {
    title: 'Payload',
    axis: 'size of the payload',
    span: (from, to) => `from ${bytes(from)} to ${bytes(to)}`,
    tick: bytes,
  },
};

/** That need not be flat. */
const isFree = (dimension: string): boolean => dimension === 'payload';

type Row = Rows['scaling'][number];

export const scaling = section({
  part: 'scaling',
  title: 'Scaling',
  about:
    'The same requests through variants of a deployment, in turns, round by round. Each point is the median, over the rounds, of the CPU per request (workers and Redis, all their processes) against the first variant of the same round; the dashed line is the goal. On few cores requests per second cannot grow with workers, and each has less to do: fewer requests between two turns of its event loop, which makes each dearer. So workers are measured at the same rate each, too.',
  tell: (part) => {
    const foot = provenanceLines(part);
    const byDimension = groupBy(part.rows, ({ dimension }) => dimension);
    const late = lateAtRate(part.rows);
    const judged = [...byDimension]
      .filter(([dimension]) => !isFree(dimension) && dimension !== late?.dimension)
      .map(([, rows]) => judge(rows));
    const [flat, steep] = [judged.filter(({ ratio }) => ratio <= FLAT), judged.filter(({ ratio }) => ratio > FLAT)];
    const told = ({ dimension, span, ratio, request }: Judged): string =>
      `${WORDS[dimension].title.toLowerCase()} (${span}: ${nameOf(request)} ${times(ratio)})`;
    return {
      headlines: judged.map(({ span, ratio, request }) => ({
        value: times(ratio),
        label: `CPU per request ${span}, at worst (${nameOf(request)}); goal ≤ ${times(FLAT)}`,
        isOver: ratio > FLAT,
      })),
      sentences: [
        flat.length > 0
          ? `Flat, at worst within ${times(FLAT)}: ${list(flat.map(told))}.`
          : `Nothing stays within ${times(FLAT)}.`,
        steep.length > 0 ? `Over ${times(FLAT)} at worst: ${list(steep.map(told))}.` : 'No other misses the goal.',
        ...(late ? [notJudged(late)] : []),
      ],
      figures: [
        ...[...byDimension.values()].map((rows) => costFigure(rows, foot)),
        ...[...byDimension.values()]
          .filter(([row]) => row!.dimension === 'workers' || row!.dimension === 'shards')
          .map((rows) => throughputFigure(rows, foot)),
      ],
      table: {
        head: [
          'dimension',
          'value',
          'request',
          'workers µs',
          'Redis µs',
          '× workers',
          '× Redis',
          '× both',
          'requests/s',
          'p50 ms',
          'p99 ms',
        ],
        rows: part.rows.map((row) => [
          row.dimension,
          WORDS[row.dimension].tick(row.value),
          nameOf(row.request),
          micros(row.workerMicros),
          micros(row.redisMicros),
          times(row.ratio.worker),
          times(row.ratio.redis),
          times(row.ratio.both),
          whole(row.perSecond),
          millis(row.p50),
          millis(row.p99),
        ]),
      },
    };
  },
});

/** At a fixed rate: the request that fell most behind, if any did. Who falls behind then sends in bursts, which cost less. */
function lateAtRate(rows: Row[]): Row | undefined {
  const atRate = rows.filter(({ dimension }) => dimension === 'workersAtRate');
  const share = (row: Row): number => {
    const base = atRate.find(({ request }) => request === row.request)!;
    return row.perSecond / row.value / (base.perSecond / base.value);
  };
  const latest = atRate.length > 0 ? highest(atRate, (row) => -share(row)) : undefined;
  return latest && share(latest) < 0.95 ? latest : undefined;
}

function notJudged({ dimension, request, value, perSecond }: Row): string {
  const what = WORDS[dimension].title.toLowerCase();
  return `Not judged: ${what}, as the rate was not kept (${nameOf(request)} through ${value}: ${whole(perSecond)}/s). The machine was too busy.`;
}

interface Judged {
  dimension: Dimension;
  span: string;
  ratio: number;
  request: string;
}

/** The request that got dearest, wherever that was. */
function judge(rows: Row[]): Judged {
  const values = rows.map(({ value }) => value);
  const worst = highest(rows, ({ ratio }) => ratio.both);
  const { dimension } = worst;
  const span = WORDS[dimension].span(Math.min(...values), Math.max(...values));
  // as it is shown, so that 1.10 does not miss 1.10
  const ratio = Math.round(worst.ratio.both * 100) / 100;
  return { dimension, span, ratio, request: worst.request };
}

function series(rows: Row[], y: (row: Row) => number) {
  return [...groupBy(rows, ({ request }) => request)].map(([request, some]) => ({
    name: nameOf(request),
    points: some.map((row) => ({ x: row.value, y: y(row) })),
  }));
}

function costFigure(rows: Row[], foot: string[]): Figure {
  const { dimension } = rows[0]!;
  const { title: name, axis, tick } = WORDS[dimension];
  const free = isFree(dimension);
  const title = `${name}: CPU per request`;
  const y = free ? (row: Row) => row.workerMicros + row.redisMicros : (row: Row) => row.ratio.both;
  return {
    name: `scaling-${dimension}`,
    title,
    svg: lines({ title, foot, width: NARROW }, series(rows, y), {
      x: axis,
      xTick: tick,
      y: free ? 'µs of CPU, workers and Redis' : `× the cost at ${tick(rows[0]!.value)}`,
      ...(free ? {} : { limit: { value: FLAT, label: `goal ≤ ${FLAT} ×` }, atLeast: 1.4 }),
    }),
  };
}

function throughputFigure(rows: Row[], foot: string[]): Figure {
  const { dimension } = rows[0]!;
  const { title: name, axis, tick } = WORDS[dimension];
  const title = `${name}: requests per second`;
  return {
    name: `scaling-${dimension}-throughput`,
    title,
    svg: lines(
      { title, foot, width: NARROW },
      series(rows, (row) => row.perSecond),
      {
        x: axis,
        xTick: tick,
        y: 'requests per second',
        yTick: short,
      },
    ),
  };
}
