// Sends one line to a unix socket and reads one line back: PING and SHUTDOWN for the embedded server, and the data folder's lock.
import { connect } from 'node:net';

/**
 * The outcome of a query.
 * - `absent`: no process listens at the path
 * - `silent`: a process listens, and did not answer in time (it hangs, or is stopped)
 * - `closed`: the connection was accepted and ended without an answer
 * - `replied`: `reply` is the line, without its line end
 */
export type Answer =
  { status: 'absent' } | { status: 'silent' } | { status: 'closed' } | { status: 'replied'; reply: string };

/**
 * Sends `line` to the unix socket at `path` and waits at most `timeoutMs` for the first line of the answer.
 * Redis accepts such a line as an inline command.
 * @throws Error if the path cannot be used at all (EACCES, ENOTDIR, …)
 */
export function ask(path: string, line: string, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(path);
    const timer = setTimeout(() => settle({ status: 'silent' }), timeoutMs);

    function settle(answer: Answer | Error): void {
      clearTimeout(timer);
      socket.destroy();
      if (answer instanceof Error) reject(answer);
      else resolve(answer);
    }

    socket.setEncoding('utf8');
    socket.on('connect', () => socket.write(`${line}\r\n`));
    socket.on('data', (text: string) => {
      received += text;
      const end = received.indexOf('\r\n');
      if (end >= 0) settle({ status: 'replied', reply: received.slice(0, end) });
    });
    socket.on('end', () => settle({ status: 'closed' }));
    socket.on('error', (error: NodeJS.ErrnoException) => settle(fromError(error)));
  });
}

function fromError(error: NodeJS.ErrnoException): Answer | Error {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return { status: 'absent' };
    case 'ECONNRESET':
    case 'EPIPE':
      return { status: 'closed' };
    case 'EAGAIN': // its backlog is full: a process listens, and does not accept
      return { status: 'silent' };
    default:
      return error;
  }
}
