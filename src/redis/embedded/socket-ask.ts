// Under the embedded server: one line to a unix socket and one back, for its PING and SHUTDOWN and for the lock of the data folder.
import { connect } from 'node:net';

/**
 * What came of a question.
 * - `absent`: nobody listens at the path
 * - `silent`: somebody listens, and did not answer in time (hung, or stopped)
 * - `closed`: the connection was accepted and ended without an answer
 * - `replied`: `reply` is the line, without its line end
 */
export type Answer =
  { status: 'absent' } | { status: 'silent' } | { status: 'closed' } | { status: 'replied'; reply: string };

/**
 * Sends `line` to the unix socket at `path` and waits at most `timeoutMs` for the first line of the answer.
 * Redis takes such a line as an inline command. Rejects where the path cannot be used at all (EACCES, ENOTDIR, …).
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
    case 'EAGAIN': // its queue of waiting connections is full: somebody is there and does not accept
      return { status: 'silent' };
    default:
      return error;
  }
}
