// A proxy to Redis that can hold back commands, to see which commands of a broker are in flight.
import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';

export interface HeldRedis {
  readonly url: string;
  /**
   * From now on nothing reaches Redis on connections over which scripts or messages were sent; other connections, such as those
   * of a PING, go on.
   */
  hold(): void;
  /** All bytes that are held back, as they were sent. */
  held(): string;
  /** How many scripts and XADDs are held back. */
  count(): number;
  release(): void;
  stop(): void;
}

/** @param port of a Redis on loopback */
export async function startHeldRedis(port: number): Promise<HeldRedis> {
  const sockets = new Set<Socket>();
  const works = new Set<Socket>();
  let waiting: { from: Socket; to: Socket; chunk: Buffer }[] = [];
  let isHolding = false;
  const server = createServer((from) => {
    const to = createConnection({ host: '127.0.0.1', port });
    for (const socket of [from, to]) {
      sockets.add(socket.setNoDelay());
      socket.on('error', () => undefined);
      socket.on('close', () => {
        from.destroy();
        to.destroy();
      });
    }
    to.pipe(from);
    from.on('data', (chunk: Buffer) => {
      if (/evalsha|xadd/i.test(chunk.toString('latin1'))) works.add(from);
      if (isHolding && works.has(from)) waiting.push({ from, to, chunk });
      else to.write(chunk);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const held = (): string => waiting.map(({ chunk }) => chunk.toString('latin1')).join('');
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: () => (isHolding = true),
    held,
    count: () => (held().match(/\*\d+\r\n\$\d+\r\n(eval|evalsha|xadd)\r/gi) ?? []).length,
    release() {
      isHolding = false;
      for (const { to, chunk } of waiting) to.write(chunk);
      waiting = [];
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
