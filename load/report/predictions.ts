// What the capacity model says of a few deployments: a table at the page's end.
import { ASSUMED, NEEDED, measured, plan, type Demand } from '../capacity.js';
import type { Results } from '../results.js';
import { bytes, micros, short, whole } from './format.js';
import type { Table } from './section.js';

const DEMANDS: Demand[] = [
  { perSecond: 1_000, payloadBytes: 1_000, backlog: 100_000, queues: 100 },
  { perSecond: 10_000, payloadBytes: 1_000, backlog: 1_000_000, queues: 100 },
  { perSecond: 10_000, payloadBytes: 10_000, backlog: 1_000_000, queues: 10_000 },
  { perSecond: 100_000, payloadBytes: 1_000, backlog: 10_000_000, queues: 10_000 },
];

/** @returns undefined when parts are missing: `NEEDED` */
export function predictions(results: Results): { sentences: string[]; table: Table } | undefined {
  const costs = measured(results);
  if (!costs) return undefined;
  const plans = DEMANDS.map((demand) => ({ demand, ...plan(costs, demand) }));
  const { demand, workers, shards } = plans[1]!;
  return {
    sentences: [
      `${whole(demand.perSecond)} messages of ${bytes(demand.payloadBytes)} a second, with ${whole(demand.backlog)} waiting, need ${whole(workers)} workers (a core each) and ${whole(shards)} ${shards === 1 ? 'Redis primary' : 'shards'}, if no core is to be more than ${whole(ASSUMED.busyShare * 100)} % busy.`,
      `A message costs ${micros(costs.cycle.worker)} µs of worker and ${micros(costs.cycle.redis)} µs of Redis, and each KB of payload ${micros(costs.perKb.worker)} and ${micros(costs.perKb.redis)} µs more.`,
    ],
    table: {
      head: [
        'messages/s',
        'payload',
        'waiting',
        'queues',
        'workers',
        'worker cores used',
        'shards',
        'Redis cores used',
        'Redis memory',
        'clients Mbit/s',
        'Redis Mbit/s',
      ],
      rows: plans.map((one) => [
        whole(one.demand.perSecond),
        bytes(one.demand.payloadBytes),
        short(one.demand.backlog),
        whole(one.demand.queues),
        one.workers,
        one.workerCores.toFixed(2),
        one.shards,
        one.redisCores.toFixed(2),
        bytes(one.redisBytes),
        whole(one.clientMbits),
        whole(one.redisMbits),
      ]),
    },
  };
}

export { NEEDED };
