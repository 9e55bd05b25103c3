// Counts the commands of a connection, and how long Redis takes to answer some of them.
import type { Cluster, Command, Redis } from 'ioredis';
import type { ConnectionObserver } from '../../observe/observer.js';

/** One command in so many is timed: two looks at the clock and a promise for each would cost as much as all other counting. */
const TIMED = 16;

interface Sender {
  sendCommand(command: Command, ...how: unknown[]): unknown;
}

export function watchCommands(redis: Redis | Cluster, observer: ConnectionObserver | undefined): void {
  if (observer === undefined) return;
  const sender = redis as unknown as Sender;
  const send = sender.sendCommand.bind(redis);
  sender.sendCommand = (command, ...how) => {
    if (observer.commands++ % TIMED === 0) {
      const sentMs = performance.now();
      // a refusal is an answer; what was never answered has no time
      command.promise.then(
        () => observer.roundTrip(performance.now() - sentMs),
        (error: unknown) => {
          if (error instanceof Error && error.name === 'ReplyError') observer.roundTrip(performance.now() - sentMs);
        },
      );
    }
    return send(command, ...how);
  };
}
