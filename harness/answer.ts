// The outcome of a request as its client knows it; chaos and load both use these three values.

/** refused: certainly not done. unknown: no reply, or a reply that says that the outcome is unknown. */
export type Answer = 'done' | 'refused' | 'unknown';

/** @param error the reply's `error`; undefined if the reply did not come from aizumi */
export function answerOfReply(status: number, error: { reason: string; outcome?: string } | undefined): Answer {
  if (status === 200) return 'done';
  if (error === undefined || error.reason === 'not_durable' || error.outcome === 'unknown' || status === 500)
    return 'unknown';
  return 'refused';
}
