// The end of a run: all remaining messages are received and checked, or counted, and nothing is left behind.
import { setTimeout as sleep } from 'node:timers/promises';
import { pause } from './conversation.js';
import type { Conversation } from './conversation.js';
import { countLeft, forgetSettings, leave, LoadError } from './deployment.js';
import type { Deployment } from './deployment.js';
import { drive } from './drive.js';
import { freeMany, receiveMany } from './exchange.js';
import type { Run } from './exchange.js';
import type { Verdict } from './ledger.js';

/** Connections used for draining. */
const DRAINERS = 16;
const TAKE = 1000;
const TRIES = 10;
const ROUNDS = 5;
const ROUND_MS = 1000;
const TIMEOUT_MS = 30_000;

/**
 * @param keep leaves remaining messages in their queues, and counts them with STAT
 * @throws LoadError if the queues do not become empty
 */
export async function settle(run: Run, deployment: Deployment, keep: boolean): Promise<Verdict> {
  await leave(deployment, run.addresses);
  run.ledger.close();
  if (keep) {
    await forgetSettings(deployment, run.addresses);
    return run.ledger.verdict((await countLeft(deployment, run.addresses)).messages);
  }
  // repeated, because a SEND with unknown outcome may still be in progress
  for (let round = 1; ; round++) {
    await drain(run, deployment);
    await leave(deployment, run.addresses);
    const { messages, queues } = await countLeft(deployment, run.addresses);
    if (queues === 0) return run.ledger.verdict();
    if (round === ROUNDS) throw new LoadError(`${messages} messages in ${queues} queues could not be drained`);
    await sleep(ROUND_MS);
  }
}

async function drain(run: Run, { url, headers }: Deployment): Promise<void> {
  const { first, count } = run.addresses;
  // several connections per queue if there are few queues
  const places = Array.from({ length: Math.max(count, DRAINERS) }, (_, i) => first + (i % count));
  const next = (): number | undefined => places.shift();
  const drainers = Array.from({ length: DRAINERS }, () => drainAll(run, next));
  await drive(url, drainers, { headers, timeoutMs: TIMEOUT_MS });
}

function* drainAll(run: Run, next: () => number | undefined): Conversation {
  for (let address = next(); address !== undefined; address = next()) {
    for (let failures = 0; failures < TRIES;) {
      const messages = yield* receiveMany(run, address, TAKE);
      if (messages === undefined) {
        failures += 1;
        yield* pause(ROUND_MS);
      } else if (messages.length === 0) break;
      else yield* freeMany(run, address, messages);
    }
  }
}
