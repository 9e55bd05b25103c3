// One packet to Redis for many requests (docs/adr/0005).
import type { Socket } from 'node:net';

/** Sends what is written in one turn of the event loop with one system call: many requests, one packet to Redis. */
export function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = (...args: unknown[]): boolean => {
    if (socket.writableCorked === 0) {
      socket.cork();
      setImmediate(() => socket.uncork());
    }
    return write(...args);
  };
}
