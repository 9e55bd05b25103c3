// What a SEND costs at each level that the deployment can give.
import type { Conversation } from '../conversation.js';
import { addressAt, send } from '../exchange.js';
import type { Run } from '../exchange.js';
import type { Scenario } from '../scenario.js';

const LEVELS = ['primary', 'quorum', 'all'];
const PROBES = 3;

export const scenario: Scenario = {
  name: 'durability',
  summary: 'SEND at primary, quorum and all; a level that the deployment cannot give is not run',
  variants: () =>
    LEVELS.map((durability) => ({
      name: durability,
      queues: 100,
      probe: (run) => whyNot(run, durability),
      *talk(run, connection) {
        for (let i = connection; run.goesOn(); i++) yield* send(run, addressAt(run, i), { durability });
      },
    })),
};

/** The first may fail because the worker has just begun to ask how many replicas there are. */
function* whyNot(run: Run, durability: string): Conversation<string | undefined> {
  for (let i = 0; i < PROBES; i++)
    if ((yield* send(run, addressAt(run, i), { durability })) === 'done') return undefined;
  const reasons = [...(run.tally.rows.get('SEND')?.failures.keys() ?? [])].join(', ');
  return `the deployment cannot give ${durability}: ${PROBES} SENDs were answered ${reasons}`;
}
