// What a reply says of its request: done, certainly not done, or unknown. Chaos and load go by the same words.
import type { Answer } from './history.js';

/** @param error the reply's `error`; undefined where the answer is none of aizumi's */
export function answerOfReply(status: number, error: { reason: string; outcome?: string } | undefined): Answer {
  if (status === 200) return 'done';
  if (error === undefined || error.reason === 'not_durable' || error.outcome === 'unknown' || status === 500)
    return 'unknown';
  return 'refused';
}
