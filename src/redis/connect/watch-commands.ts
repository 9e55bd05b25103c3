// Counts the commands of a connection, and measures how long Redis takes to reply to some of them.
import type { Cluster, Redis } from 'ioredis';
import type { ConnectionObserver } from '../../observe/observer.js';
import { watchSending } from '../private-api.js';

/** One command in this many is timed: timing each would cost two clock reads and a promise, as much as all other counting. */
const TIMED = 16;

export function watchCommands(redis: Redis | Cluster, observer: ConnectionObserver | undefined): void {
  if (observer === undefined) return;
  watchSending(redis, (command) => {
    if (observer.commands++ % TIMED !== 0) return;
    const sentMs = performance.now();
    // an error reply counts as a round trip; a command without a reply has none
    command.promise.then(
      () => observer.roundTrip(performance.now() - sentMs),
      (error: unknown) => {
        if (error instanceof Error && error.name === 'ReplyError') observer.roundTrip(performance.now() - sentMs);
      },
    );
  });
}
