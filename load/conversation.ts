// What one connection says: a generator that yields requests and pauses, and is resumed with each answer. It ends by itself, between
// two requests, so that a run leaves nothing half asked.

export type Step = { ask: string } | { pauseMs: number };

/** What became of a request: an answer of whatever status, or none. `ms` since it was due. */
export type Heard =
  | { kind: 'answered'; status: number; text: string; ms: number }
  /** `refused`: nobody listened, so that certainly nothing was done. */
  | { kind: 'lost'; reason: string; refused: boolean; ms: number };

export type Conversation<Result = void> = Generator<Step, Result, Heard>;

/** To one request, what was heard. */
export function* ask(request: object): Conversation<Heard> {
  return yield { ask: JSON.stringify(request) };
}

/** Says nothing for so long. */
export function* pause(ms: number): Conversation {
  yield { pauseMs: ms };
}
