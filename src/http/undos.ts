// Undoes in the background what was done for replies that could not be written; a worker that stops waits for it.
import type { Logger } from 'pino';

export class Undos {
  readonly #underWay = new Set<Promise<void>>();

  constructor(private readonly log: Logger) {}

  /** @param undoing its failure is logged, and has no other consequence */
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

  /** Resolves when nothing is under way. To be called when all connections are closed: until then more may be added. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }
}
