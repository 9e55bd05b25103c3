import { expect } from 'chai';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { joinWrites } from '../../src/redis/connect/join-writes.js';

describe('joined writes', () => {
  let server: Server;
  let socket: Socket;
  /** Length of each write that reached the socket itself, in characters. */
  let writes: number[];
  let received: Promise<string>;

  beforeEach(async () => {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    received = (async () => {
      const [peer] = (await once(server, 'connection')) as [Socket];
      let text = '';
      peer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      await once(peer, 'end');
      peer.end();
      return text;
    })();
    socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    await once(socket, 'connect');
    writes = [];
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
    socket.write = (...args: unknown[]) => {
      writes.push((args[0] as string | Buffer).length);
      return write(...args);
    };
    joinWrites(socket);
  });

  afterEach(() => {
    socket.destroy();
    server.close();
  });

  it('are a single write of everything written in consecutive turns, four at most', async () => {
    for (let turn = 0; turn < 3; turn++) {
      socket.write('a');
      socket.write('é');
      await nextTurn();
    }
    await nextTurn();
    await nextTurn();
    expect(writes).to.deep.equal([6]);
    for (let turn = 0; turn < 8; turn++) {
      socket.write('b');
      await nextTurn();
    }
    socket.end();
    expect(writes.slice(1)).to.deep.equal([4, 4]);
    expect(await received).to.equal('aéaéaébbbbbbbb');
  });

  it('are not delayed after a turn without a write', async () => {
    socket.write('a');
    await nextTurn();
    await nextTurn();
    expect(writes).to.deep.equal([1]);
  });

  it('keep their order relative to buffers, and lose nothing if the socket is ended in the same turn', async () => {
    socket.write('one ');
    socket.write(Buffer.from('two '));
    socket.write('three');
    socket.end();
    expect(await received).to.equal('one two three');
  });

  it('are bounded in size', async () => {
    const text = 'x'.repeat(300_000);
    for (let i = 0; i < 8; i++) socket.write(text);
    expect(writes).to.deep.equal([1_200_000, 1_200_000]);
    socket.end();
    expect((await received).length).to.equal(2_400_000);
  });
});
