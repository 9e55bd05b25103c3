// Runs several conversations at once with autocannon, one connection each.
import autocannon from 'autocannon';
import { lead } from './connection.js';
import type { Leading } from './connection.js';
import type { Conversation } from './conversation.js';

/** In seconds. Conversations end by themselves, so autocannon's own time limit must never be reached. */
const NEVER_S = 1_000_000;
/** How often autocannon checks whether all have ended, in ms. */
const LOOK_MS = 20;

/**
 * Resolves when every conversation has ended.
 * @throws what a conversation threw
 */
export async function drive(
  url: string,
  conversations: Conversation[],
  leading: Omit<Leading, 'onFailure'>,
): Promise<void> {
  const failures: unknown[] = [];
  const onFailure = (error: unknown): void => void failures.push(error);
  let connection = 0;
  await autocannon({
    url,
    connections: conversations.length,
    duration: NEVER_S,
    sampleInt: LOOK_MS,
    timeout: leading.timeoutMs / 1000,
    setupClient: (client) => lead(client, conversations[connection++]!, { ...leading, onFailure }),
  });
  if (failures.length > 0) throw failures[0];
}
