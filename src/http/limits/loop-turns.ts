// Work that keeps the event loop busy for milliseconds: one piece in each turn of the loop, and clients take turns. Light work
// is done in between, and waits for one piece at most.

export class LoopTurns {
  /** By client; the first client's turn is next. */
  readonly #queues = new Map<string, (() => void)[]>();

  /**
   * @param isBegun it continues work that has begun, and goes before the client's other pieces
   * @returns a promise that resolves in a turn of the event loop in which no other piece is done
   */
  take(who: string, isBegun = false): Promise<void> {
    return new Promise((start) => {
      if (this.#queues.size === 0) setImmediate(this.#next);
      const queue = this.#queues.get(who);
      if (queue === undefined) this.#queues.set(who, [start]);
      else if (isBegun) queue.unshift(start);
      else queue.push(start);
    });
  }

  readonly #next = (): void => {
    for (const [who, queue] of this.#queues) {
      queue.shift()?.();
      // the client's next turn is after those of all others
      this.#queues.delete(who);
      if (queue.length > 0) this.#queues.set(who, queue);
      break;
    }
    if (this.#queues.size > 0) setImmediate(this.#next);
  };
}
