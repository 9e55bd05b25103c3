// The section on memory: what a waiting message takes in Redis.
import type { Rows } from '../results.js';
import { stackedBars } from './charts.js';
import { bytes, list, whole } from './format.js';
import { highest, provenanceLines, section } from './section.js';

type Row = Rows['memory'][number];

const extra = ({ bytesPerMessage, payloadBytes }: Row): number => bytesPerMessage - payloadBytes;
const queuesOf = ({ queues }: Row): string => (queues === 1 ? '1 queue' : `${whole(queues)} queues`);

export const memory = section({
  part: 'memory',
  title: 'Memory of a waiting message',
  about:
    'used_memory of a Redis that holds nothing else, divided by the messages in it. The append-only file is off: it takes no memory.',
  tell: (part) => {
    const { rows } = part;
    const fewest = Math.min(...rows.map(({ queues }) => queues));
    const few = rows.filter(({ queues }) => queues === fewest);
    const worst = highest(rows, extra);
    const perQueue = worst.messages / worst.queues;
    return {
      headlines: few.slice(0, 1).map((row) => ({
        value: `${whole(row.bytesPerMessage)} B`,
        label: `of Redis memory for a waiting message of ${bytes(row.payloadBytes)}, in ${queuesOf(row)}`,
      })),
      sentences: [
        `In ${queuesOf(few[0]!)} a waiting message takes ${list(few.map((row) => `${whole(row.bytesPerMessage)} B with a payload of ${bytes(row.payloadBytes)}`))}.`,
        `Thinly spread it takes more, as a queue has a least size: ${whole(extra(worst))} B beyond the payload of ${bytes(worst.payloadBytes)} with ${whole(perQueue)} in each of ${queuesOf(worst)}.`,
      ],
      figures: [
        {
          name: 'memory',
          title: 'Redis memory per waiting message, beyond the payload',
          svg: stackedBars(
            { title: 'Redis memory per waiting message, beyond its payload', foot: provenanceLines(part) },
            rows.map((row) => ({
              name: `${bytes(row.payloadBytes)} in ${queuesOf(row)}`,
              parts: { memory: extra(row) },
              note: `B of ${whole(row.bytesPerMessage)}`,
            })),
            'bytes beyond the payload, per message',
            whole,
          ),
        },
      ],
      table: {
        head: ['payload', 'queues', 'messages', 'bytes per message', 'beyond the payload'],
        rows: rows.map((row) => [
          bytes(row.payloadBytes),
          whole(row.queues),
          whole(row.messages),
          whole(row.bytesPerMessage),
          whole(extra(row)),
        ]),
      },
    };
  },
});
