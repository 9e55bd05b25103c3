// One TCP connection to a broker, byte by byte: for requests that fetch would not send, and to know which connection replies.
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { until } from './until.js';

export interface RawReply {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  text: string;
}

export interface Connection {
  write(bytes: string | Uint8Array): void;
  /** Half-closes: sends no more, still reads. */
  end(): void;
  /** Closes the connection at once. */
  destroy(): void;
  /** Resets the connection, as a crashed client does. */
  reset(): void;
  /** The next reply, 100 Continue included. @param to the method that it answers: a reply to HEAD has no body */
  reply(withinMs?: number, to?: string): Promise<RawReply>;
  /** Resolves when the broker has closed the connection; returns the bytes after the replies that were read. */
  closed(withinMs?: number): Promise<string>;
  readonly isOpen: boolean;
}

export async function openConnection(url: string): Promise<Connection> {
  const { protocol, hostname, port } = new URL(url);
  const tcp = createConnection({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true });
  await once(tcp, 'connect');
  const socket = protocol === 'https:' ? connectTls({ socket: tcp, rejectUnauthorized: false }) : tcp;
  let received = Buffer.alloc(0);
  let ended = false;
  socket.on('data', (bytes: Buffer) => (received = Buffer.concat([received, bytes])));
  socket.on('error', () => (ended = true)); // a reset ends the connection too
  socket.on('end', () => {
    ended = true;
    socket.end();
  });
  if (socket !== tcp) await once(socket, 'secureConnect');

  return {
    write: (bytes) => void socket.write(bytes),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
    reset: () => void tcp.resetAndDestroy(),
    async reply(withinMs = 5_000, to = 'POST') {
      const parsed = await until('a whole reply', () => parse(received, to) ?? (ended && 'nothing'), withinMs);
      if (parsed === 'nothing') throw new Error(`the connection ended after ${JSON.stringify(received.toString())}`);
      received = received.subarray(parsed.bytes);
      return parsed.reply;
    },
    async closed(withinMs = 5_000) {
      await until('the end of the connection', () => ended, withinMs);
      return received.toString();
    },
    get isOpen() {
      return !ended;
    },
  };
}

/** @returns the reply that `received` starts with and its length; undefined while it is not complete */
function parse(received: Buffer, to: string): { reply: RawReply; bytes: number } | undefined {
  const endOfHead = received.indexOf('\r\n\r\n');
  if (endOfHead < 0) return undefined;
  const [statusLine = '', ...lines] = received.subarray(0, endOfHead).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  ) as Record<string, string>;
  const length = to === 'HEAD' ? 0 : Number(headers['content-length'] ?? 0);
  const bytes = endOfHead + 4 + length;
  if (received.length < bytes) return undefined;
  return {
    reply: { status: Number(statusLine.split(' ')[1]), headers, text: received.toString('utf8', endOfHead + 4, bytes) },
    bytes,
  };
}

/** The bytes of an HTTP request. A header given as undefined is omitted. */
export function httpRequest(
  body: string | Uint8Array,
  {
    method = 'POST',
    path = '/',
    headers = {},
  }: { method?: string; path?: string; headers?: Record<string, string | undefined> } = {},
): Buffer {
  const bytes = Buffer.from(body as string);
  const all: Record<string, string | number | undefined> = {
    Host: '127.0.0.1',
    'Content-Type': 'application/json',
    'Content-Length': bytes.length,
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => (value === undefined ? '' : `${name}: ${value}\r\n`));
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), bytes]);
}

/** `bytes` as one chunk of a body with Transfer-Encoding: chunked. */
export const chunk = (bytes: string): string => `${Buffer.byteLength(bytes).toString(16)}\r\n${bytes}\r\n`;
