// Counts the commands of a connection, and how long Redis takes to answer some of them.
import type { Cluster, Redis } from 'ioredis';
import type { ConnectionObserver } from '../../observe/observer.js';
import { watchSending } from '../private-api.js';

/** One command in so many is timed: reading the clock twice and a promise for each would cost as much as all other counting. */
const TIMED = 16;

export function watchCommands(redis: Redis | Cluster, observer: ConnectionObserver | undefined): void {
  if (observer === undefined) return;
  watchSending(redis, (command) => {
    if (observer.commands++ % TIMED !== 0) return;
    const sentMs = performance.now();
    // a refusal is an answer; what was never answered has no time
    command.promise.then(
      () => observer.roundTrip(performance.now() - sentMs),
      (error: unknown) => {
        if (error instanceof Error && error.name === 'ReplyError') observer.roundTrip(performance.now() - sentMs);
      },
    );
  });
}
