// Writers on a scripted stack: clients that write while its nodes are stopped, and the check of what was lost.
import { PASSWORD, REDIS_PORT } from '../../harness/scripted-stack.js';
import type { ScriptedStack } from '../../harness/scripted-stack.js';
import { LIST, readWritten, startWriters } from './writers.js';
import type { Address, Writers } from './writers.js';

export const optionsOf = (node: string): Address => ({ host: node, port: REDIS_PORT, password: PASSWORD });

export const otherThan = (stack: ScriptedStack, node: string): string[] => stack.nodes.filter((each) => each !== node);

export const startWritersOn = (stack: ScriptedStack): Writers =>
  startWriters(async () => {
    const node = await stack.named();
    return node === undefined ? undefined : optionsOf(node);
  });

/** Starts writers whose numbers begin again at 1. */
export async function startAnew(stack: ScriptedStack): Promise<Writers> {
  await stack.redis(await stack.whole(), 'DEL', LIST);
  return startWritersOn(stack);
}

/**
 * Stops the writers, and waits until the stack is complete.
 * @returns ids that were answered and are not there; ids that were refused, not left unclear, and are there
 */
export async function wrongOf(
  stack: ScriptedStack,
  writers: Writers,
): Promise<{ lost: number[]; doneAllTheSame: number[] }> {
  await writers.stop();
  const written = await readWritten(optionsOf(await stack.whole()));
  const refused = [...writers.refused].filter(([, message]) => /^(READONLY|NOREPLICAS)/.test(message));
  return {
    lost: writers.answered.filter((id) => !written.has(id)),
    doneAllTheSame: refused.flatMap(([id]) => (written.has(id) ? [id] : [])),
  };
}
