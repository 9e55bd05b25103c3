// One packet to Redis for many requests (docs/adr/0005).
import type { Socket } from 'node:net';

/**
 * Sends what is written in one turn of the event loop with one system call: many requests, one packet to Redis.
 * @param turns it waits for more in up to so many turns, as long as each brings some
 */
export function joinWrites(socket: Socket, turns = 1): void {
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
      left = turns;
      setImmediate(endTurn);
    }
    brought = true;
    return write(...args);
  };
}
