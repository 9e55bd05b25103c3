// Joins the commands of many requests into one packet to Redis (docs/adr/0005).
import type { Socket } from 'node:net';

/** Gathering over more turns brings no further gain (docs/benchmarks.md). */
const TURNS = 4;
/** Characters; a longer text is sent at once. */
const ENOUGH = 1 << 20;

/**
 * Sends the text that is written during a few turns of the event loop with one system call. It waits for a further turn only if
 * the last one wrote something.
 */
export function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  const end = socket.end.bind(socket) as (...args: unknown[]) => Socket;
  // one text, rather than several writes under cork(), which makes a buffer of each
  let text = '';
  let turnsLeft = 0;
  let hasWritten = false;
  const flush = (): void => {
    const all = text;
    text = '';
    if (all !== '' && socket.writable) write(all);
  };
  const endTurn = (): void => {
    turnsLeft -= 1;
    if (turnsLeft > 0 && hasWritten) {
      hasWritten = false;
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
    hasWritten = true;
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
