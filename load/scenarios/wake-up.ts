// How soon one who waits has its message: pairs of connections, of which one waits with RECV and the other SENDs to it.
import { pause } from '../conversation.js';
import type { Conversation } from '../conversation.js';
import { addressAt, free, receive, send } from '../exchange.js';
import type { Run } from '../exchange.js';
import type { Scenario } from '../scenario.js';

/** A waiter asks again then, and sees whether there is time left. */
const WAIT_MS = 1000;
/** Before a SEND, at random, so that the receiver surely waits and pairs do not keep step. */
const PAUSE_MS = { least: 10, most: 30 };

/** From the SEND to the answered RECV, in the closing table. */
export const WAKE = 'wake-up';

interface Pair {
  address: number;
  isWaiting: boolean;
  sentMs: number | undefined;
}

export const scenario: Scenario = {
  name: 'wake-up',
  summary: 'long poll: from a SEND to the answer of the RECV that waited for it, in pairs of connections',
  variants: ({ connections }) => {
    const pairs: Pair[] = [];
    return [
      {
        name: '',
        queues: Math.max(1, Math.ceil(connections / 2)),
        leastConnections: 2,
        talk(run, connection) {
          const pair = (pairs[connection >> 1] ??= {
            address: addressAt(run, connection >> 1),
            isWaiting: false,
            sentMs: undefined,
          });
          return connection % 2 === 0 ? waiter(run, pair) : waker(run, pair);
        },
      },
    ];
  },
};

function* waiter(run: Run, pair: Pair): Conversation {
  while (run.goesOn()) {
    pair.isWaiting = true;
    const message = yield* receive(run, pair.address, { wait_ms: WAIT_MS });
    pair.isWaiting = false;
    if (!message) continue;
    if (pair.sentMs !== undefined) run.tally.measured(WAKE, performance.now() - pair.sentMs);
    pair.sentMs = undefined;
    yield* free(run, message);
  }
}

function* waker(run: Run, pair: Pair): Conversation {
  while (run.goesOn()) {
    yield* pause(PAUSE_MS.least + Math.random() * (PAUSE_MS.most - PAUSE_MS.least));
    if (!pair.isWaiting) continue;
    pair.sentMs = performance.now();
    yield* send(run, pair.address);
  }
}
