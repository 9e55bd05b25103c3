import { expect } from 'chai';
import { pino } from 'pino';
import { MAX_CLIENT_REPLY_BYTES } from '../../src/config/limits.js';
import { BrokerError } from '../../src/errors.js';
import { Memory } from '../../src/http/limits/memory.js';

describe('http/memory', () => {
  let memory: Memory;
  beforeEach(() => (memory = new Memory(1_000, pino({ level: 'silent' }))));

  /** Takes as much as it gets. @returns how much, and what it was told then */
  function fill(who: string): { taken: number; message: string } {
    for (let taken = 0; ; taken++)
      try {
        memory.of(who).take('requests', 1);
      } catch (error) {
        expect(error).to.be.instanceOf(BrokerError).that.includes({ reason: 'overloaded', outcome: 'not_done' });
        return { taken, message: (error as Error).message };
      }
  }

  it('lets one client alone have half of it, and says so', () => {
    expect(fill('a')).to.deep.equal({
      taken: 500,
      message:
        'what this worker holds for you is more than it has left for others, of 1000 bytes (AIZUMI_MAX_BYTES_IN_FLIGHT): nothing was done, try again',
    });
  });

  it('has room for who holds little, however many others hold all that they get', () => {
    memory = new Memory(1_000_000, pino({ level: 'silent' }));
    for (let n = 0; n < 8; n++) fill(`greedy ${n}`);
    expect(fill('b').taken).to.be.above(1_900);
  });

  it('refuses all when there is no room at all', () => {
    memory.of('a').force('replies', 1_000);
    expect(fill('b')).to.deep.equal({
      taken: 0,
      message:
        'what this worker holds for its clients is over 1000 bytes (AIZUMI_MAX_BYTES_IN_FLIGHT): nothing was done, try again',
    });
  });

  it('bounds the replies to one client, however much memory there is', () => {
    memory = new Memory(10 * MAX_CLIENT_REPLY_BYTES, pino({ level: 'silent' }));
    memory.of('a').take('replies', MAX_CLIENT_REPLY_BYTES);
    expect(() => memory.of('a').take('replies', 1)).to.throw(/^your replies that are under way take 134217728 bytes/);
    memory.of('a').take('requests', 1);
    memory.of('b').take('replies', 1);
    memory.of('a').give('replies', 1);
    memory.of('a').take('replies', 1);
  });

  it('counts what a client takes for several requests together, and forgets clients that have given all back', () => {
    const first = memory.of('a');
    first.take('requests', 10);
    const second = memory.of('a');
    second.take('replies', 20);
    expect(memory.taken).to.deep.equal({ connections: 0, requests: 10, replies: 20, waits: 0 });
    expect(second.taken).to.equal(30);
    first.give('requests', 10);
    second.give('replies', 20);
    expect(memory.taken).to.deep.equal({ connections: 0, requests: 0, replies: 0, waits: 0 });
    expect(memory.free).to.equal(1_000);
    expect(memory.of('a')).to.not.equal(first);
  });
});
