// The section on what SEND, RECV and FREE cost beside the floor.
import { stackedBars } from './charts.js';
import { list, micros, millis, times, whole } from './format.js';
import { nameOf, provenanceLines, section } from './section.js';

/** The issue's goals: worker CPU, times the floor. */
const GOALS: Record<string, number> = { send: 1.25, recv: 1.5, free: 1.3 };

export const costs = section({
  part: 'costs',
  title: 'What a request costs',
  about:
    'One worker, 64 connections, 100 queues, payloads of 100 bytes; beside it, in turns, the floor: a bare node:http server that does one XADD and checks nothing; and the same with its writes to Redis joined as the worker joins its own. CPU time of all processes but the client, from the operating system.',
  tell: (part) => {
    const { rows } = part;
    const requests = rows.filter(({ request }) => request in GOALS);
    const worker = requests.reduce((sum, row) => sum + row.workerMicros, 0);
    const redis = requests.reduce((sum, row) => sum + row.redisMicros, 0);
    const said = requests.map(
      (row) =>
        `${nameOf(row.request)} costs the worker ${micros(row.workerMicros)} µs, ${times(row.ratio.worker)} the floor`,
    );
    const missed = requests.filter((row) => Math.round(row.ratio.worker * 100) / 100 > GOALS[row.request]!);
    const goals =
      missed.length === 0
        ? 'all three are within the goals'
        : `over the goal: ${list(missed.map((row) => `${nameOf(row.request)} (≤ ${times(GOALS[row.request]!)})`))}`;
    return {
      headlines: requests.map((row) => ({
        value: `${micros(row.workerMicros + row.redisMicros)} µs`,
        label: `CPU of a ${nameOf(row.request)}, worker and Redis; the worker alone is ${times(row.ratio.worker)} the floor`,
        isOver: missed.includes(row),
      })),
      sentences: [
        `${list(said)}; ${goals}.`,
        `A message that is sent, received and freed costs ${micros(worker)} µs of worker and ${micros(redis)} µs of Redis: ` +
          `a core of workers carries ${whole(1e6 / worker)} such messages a second, a Redis ${whole(1e6 / redis)}.`,
      ],
      figures: [
        {
          name: 'request-cost',
          title: 'CPU per request',
          svg: stackedBars(
            { title: 'CPU per request, beside the floor', foot: provenanceLines(part) },
            rows.map((row) => ({
              name: nameOf(row.request),
              parts: { server: row.workerMicros, Redis: row.redisMicros },
              note: `= ${micros(row.workerMicros)} + ${micros(row.redisMicros)}`,
            })),
            'µs of CPU per request',
            micros,
          ),
        },
      ],
      table: {
        head: [
          'request',
          'server µs',
          'Redis µs',
          'server × floor',
          'both × floor',
          'goal',
          'requests/s',
          'p50 ms',
          'p99 ms',
        ],
        rows: rows.map((row) => [
          nameOf(row.request),
          micros(row.workerMicros),
          micros(row.redisMicros),
          times(row.ratio.worker),
          times(row.ratio.both),
          row.request in GOALS ? `≤ ${times(GOALS[row.request]!)}` : '',
          whole(row.perSecond),
          millis(row.p50),
          millis(row.p99),
        ]),
      },
    };
  },
});
