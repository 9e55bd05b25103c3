// Requests with which one client tries to exhaust a worker's memory: the inputs B2, B4 and B7 of issue 15.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';
import { httpRequest } from '../../harness/connection.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';

const MIB = 1_048_576;

/** The peak and the current memory of a process, in bytes; Linux only. */
export function memoryOf(pid: number): { peak: number; now: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { peak: bytes('VmHWM'), now: bytes('VmRSS') };
}

/** A payload with which a message is about `mib` MiB. */
export const large = (mib: number): string => 'x'.repeat(mib * MIB - 200);

/** Connections that send and, unless `reads`, never read. Connection errors caused by the broker are ignored. */
export async function flood(
  url: string,
  connections: number,
  bytes: Buffer,
  reads: boolean,
): Promise<{ sockets: Socket[]; end: () => void }> {
  const { hostname, port } = new URL(url);
  const sockets: Socket[] = [];
  for (let n = 0; n < connections; n++) {
    const socket = createConnection({ host: hostname, port: Number(port) });
    socket.on('error', () => undefined);
    if (reads) socket.resume();
    else socket.pause();
    await once(socket, 'connect').catch(() => undefined);
    socket.write(bytes);
    sockets.push(socket);
  }
  return { sockets, end: () => sockets.forEach((socket) => socket.destroy()) };
}

/** B2: 1,000 RECVs in one body, each of which may get the same message. */
export const manyRecvs = (address: number): object[] =>
  Array.from({ length: 1_000 }, () => ({ ...recvRequest(address), visibility_timeout_ms: 0 }));

/** B4: PEEK of messages of 1 MB. */
export const peekOfMany = (address: number): object => ({
  msg_type: 'MSG_PEEK_REQ',
  saddr: address,
  daddr: 5000,
  state: 'waiting',
  max: 10,
});

export const largeSend = (address: number, id: number, mib = 1): object => sendRequest(address, id, large(mib));

/** B7: RECVs with wait_ms, pipelined on one connection. */
export const pipelinedWaits = (count: number, address: number): Buffer => {
  const one = httpRequest(JSON.stringify({ ...recvRequest(address), wait_ms: 20_000 }));
  return Buffer.concat(Array.from({ length: count }, () => one));
};

/** B7: RECVs with wait_ms in one body. */
export const batchedWaits = (count: number, address: number): Buffer =>
  httpRequest(JSON.stringify(Array.from({ length: count }, () => ({ ...recvRequest(address), wait_ms: 20_000 }))));
