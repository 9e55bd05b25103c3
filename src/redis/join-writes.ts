// One packet to Redis for many requests (docs/adr/0005).
import type { Socket } from 'node:net';

/** More bring no more (docs/benchmarks.md). */
const TURNS = 4;

/**
 * Sends what is written in a few turns of the event loop with one system call: many requests, one packet to Redis. It waits for
 * more only as long as each turn brings some.
 */
export function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  let left = 0;
  let brought = false;
  const endTurn = (): void => {
    left -= 1;
    if (left > 0 && brought) {
      brought = false;
      setImmediate(endTurn);
    } else socket.uncork();
  };
  socket.write = (...args: unknown[]): boolean => {
    if (socket.writableCorked === 0) {
      socket.cork();
      left = TURNS;
      setImmediate(endTurn);
    }
    brought = true;
    return write(...args);
  };
}
