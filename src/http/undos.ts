// What was done for replies that could not be written is undone beside the requests; a worker that stops waits for it.
import type { Logger } from 'pino';

export class Undos {
  readonly #underWay = new Set<Promise<void>>();

  constructor(private readonly log: Logger) {}

  /** @param undoing one that may fail is logged, and no more is done about it */
  add(undoing: Promise<unknown>): void {
    const settled: Promise<void> = undoing
      .then(
        () => undefined,
        (error: unknown) =>
          this.log.warn(
            { error },
            'could not return messages taken for a disconnected client; they return when their leases end',
          ),
      )
      .finally(() => this.#underWay.delete(settled));
    this.#underWay.add(settled);
  }

  /** Resolves when nothing is under way. Replies that wait for their turn count: their connections must be closed before. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }
}
