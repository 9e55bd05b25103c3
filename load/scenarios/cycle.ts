// A message's whole way, over and over: SEND, RECV, FREE.
import type { Conversation } from '../conversation.js';
import { addressAt, free, receive, send } from '../exchange.js';
import type { Run } from '../exchange.js';
import type { Scenario } from '../scenario.js';

/** One message's way; of several connections at a queue one may receive what another has sent. */
export function* cycle(run: Run, address: number): Conversation {
  yield* send(run, address);
  const message = yield* receive(run, address);
  if (message) yield* free(run, message);
}

export function* cycles(run: Run, connection: number): Conversation {
  for (let i = connection; run.goesOn(); i++) yield* cycle(run, addressAt(run, i));
}

export const scenario: Scenario = {
  name: 'cycle',
  summary: 'SEND, RECV and FREE in turns, over 100 queues',
  variants: () => [{ name: '', queues: 100, talk: cycles }],
};
