// One packet to Redis for many requests (docs/adr/0005).
import type { Socket } from 'node:net';

/** Gathering over more turns brings no further gain (docs/benchmarks.md). */
const TURNS = 4;
/** Characters; a longer text is sent at once. */
const ENOUGH = 1 << 20;

/**
 * Sends the text that is written in a few turns of the event loop with one system call: many requests, one packet to Redis. It
 * waits for more only as long as each turn brings some.
 */
export function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  const end = socket.end.bind(socket) as (...args: unknown[]) => Socket;
  // not a list of texts under cork(), which makes a buffer of each
  let text = '';
  let turnsLeft = 0;
  let brought = false;
  const flush = (): void => {
    const all = text;
    text = '';
    if (all !== '' && socket.writable) write(all);
  };
  const endTurn = (): void => {
    turnsLeft -= 1;
    if (turnsLeft > 0 && brought) {
      brought = false;
      setImmediate(endTurn);
    } else {
      turnsLeft = 0;
      flush();
    }
  };
  socket.write = (chunk: unknown, ...rest: unknown[]): boolean => {
    if (typeof chunk !== 'string' || rest.length > 0) {
      flush();
      return write(chunk, ...rest);
    }
    text += chunk;
    brought = true;
    if (text.length > ENOUGH) flush();
    if (turnsLeft === 0) {
      turnsLeft = TURNS;
      setImmediate(endTurn);
    }
    return !socket.writableNeedDrain;
  };
  socket.end = (...args: unknown[]): Socket => {
    flush();
    return end(...args);
  };
}
