import { expect } from 'chai';
import { Shares } from '../../src/queue/shares.js';

const MOST = 1_000;
const DAY_MS = 86_400_000;

describe('queue/shares: a delayed message', () => {
  const opened = (): Shares => new Shares({ maxClientBytes: MOST, maxClientQueues: 1 });
  /** How much the client may still store. */
  const room = (shares: Shares, client = 'a'): number => {
    let bytes = MOST;
    while (bytes > 0 && !shares.mayStore(client, bytes)) bytes -= 1;
    return bytes;
  };

  it('counts for its sender until it is due, whatever else is received from the queue', () => {
    const shares = opened();
    shares.store('a', 100, 600, 7 * DAY_MS, 0);
    shares.store('b', 100, 300);
    shares.learnBytes(100, 0, 600, 1_000);
    expect([room(shares), room(shares, 'b')]).to.deep.equal([400, MOST]);
  });

  it('may count for other senders once it is due', () => {
    const shares = opened();
    shares.store('a', 100, 600, 10_000, 0);
    shares.learnBytes(100, 0, 600, 9_000);
    expect(room(shares)).to.equal(400);
    // the message is still there, and others have sent as much
    shares.learnBytes(100, 1_200, 0, 12_000);
    expect(room(shares)).to.equal(400);
    shares.learnBytes(100, 50, 0, 12_000);
    expect(room(shares)).to.equal(950);
  });

  it('keeps its size when messages that are due at once are sent again and again', () => {
    const shares = opened();
    shares.store('a', 100, 600, 7 * DAY_MS, 0);
    for (let nowMs = 0; nowMs < 100_000; nowMs += 1_000) {
      expect(shares.store('a', 100, 100, nowMs + 1, nowMs)).to.equal(true);
      // already due in Redis, but not yet known to the worker; then received and freed
      shares.learnBytes(100, 100, 600, nowMs + 10);
      shares.learnBytes(100, 0, 600, nowMs + 20);
      expect(room(shares)).to.equal(400);
      shares.learnBytes(100, 0, 600, nowMs + 900);
      expect(room(shares)).to.equal(400);
    }
  });

  it('no longer counts when it was dropped, or not sent', () => {
    const shares = opened();
    shares.store('a', 100, 600, DAY_MS, 0);
    shares.learnBytes(100, 0, 0, 10);
    expect(room(shares)).to.equal(MOST);
    shares.store('a', 100, 600, DAY_MS, 0);
    shares.unstore('a', 100, 600, DAY_MS);
    expect(room(shares)).to.equal(MOST);
    shares.learnBytes(100, 900, 900, 2 * DAY_MS);
    expect(room(shares)).to.equal(MOST);
  });

  it('is tracked in bounded memory; beyond that, it counts until the end of a day at most', () => {
    const shares = new Shares({ maxClientBytes: 1e9, maxClientQueues: 1 });
    for (let i = 0; i < 120_000; i++) shares.store('a', i % 2_000, 1, 1_000 + 300 * i, 0);
    expect(shares.mayStore('a', 1e9 - 120_000)).to.equal(true);
    expect(shares.mayStore('a', 1e9 - 119_999)).to.equal(false);
    for (let address = 0; address < 2_000; address++) shares.learnBytes(address, 0, 0, 2 * DAY_MS);
    expect(shares.mayStore('a', 1e9)).to.equal(true);
  });
});
