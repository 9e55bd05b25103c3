// The end of a run: everything that is left is taken out and checked, or counted, and nothing stays behind.
import { setTimeout as sleep } from 'node:timers/promises';
import { pause } from './conversation.js';
import type { Conversation } from './conversation.js';
import { countLeft, forgetSettings, leave, LoadError } from './deployment.js';
import type { Deployment } from './deployment.js';
import { drive } from './drive.js';
import { freeMany, receiveMany } from './exchange.js';
import type { Run } from './exchange.js';
import type { Verdict } from './ledger.js';

/** Connections that drain. */
const DRAINERS = 16;
const TAKE = 1000;
const TRIES = 10;
const ROUNDS = 5;
const ROUND_MS = 1000;
const TIMEOUT_MS = 30_000;

/**
 * @param keep leaves what is left where it is, and counts it by STAT
 * @throws LoadError where the queues do not get empty
 */
export async function settle(run: Run, deployment: Deployment, keep: boolean): Promise<Verdict> {
  await leave(deployment, run.addresses);
  run.ledger.close();
  if (keep) {
    await forgetSettings(deployment, run.addresses);
    return run.ledger.verdict((await countLeft(deployment, run.addresses)).messages);
  }
  // more than once: an unknown SEND may still be under way
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
  // several at a queue where there are few
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
