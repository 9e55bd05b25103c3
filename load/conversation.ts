// The requests of one connection: a generator that yields requests and pauses, and is resumed with each reply. It ends by itself,
// between two requests, so that a run leaves no request unanswered.

export type Step = { ask: string } | { pauseMs: number };

/** The result of a request: a reply of any status, or none. `ms` since it was due. */
export type Heard =
  | { kind: 'answered'; status: number; text: string; ms: number }
  /** `refused`: the connection was refused, so that certainly nothing was done. */
  | { kind: 'lost'; reason: string; refused: boolean; ms: number };

export type Conversation<Result = void> = Generator<Step, Result, Heard>;

/** The result of one request. */
export function* ask(request: object): Conversation<Heard> {
  return yield { ask: JSON.stringify(request) };
}

/** Pauses for this long. */
export function* pause(ms: number): Conversation {
  yield { pauseMs: ms };
}
