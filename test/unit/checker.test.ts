// Made-up histories: each breaks one promise, and the checker must find that one and no other.
import { expect } from 'chai';
import { check, longestSilence } from '../../chaos/checker.js';
import type { Verdict } from '../../chaos/checker.js';
import { emptyHistory } from '../../chaos/history.js';
import type { FaultWindow, History, Level } from '../../chaos/history.js';
import type { Answer } from '../../harness/answer.js';

const LEASE_MS = 1_000;
const QUEUE = 100;

/** Builds a history step by step; by default, each step takes 9 ms, and the next one starts 1 ms later. */
class Story {
  readonly history: History = emptyHistory(LEASE_MS);
  #nowMs = 0;

  #time(tookMs: number): { askedMs: number; answeredMs: number; worker: number } {
    const askedMs = this.#nowMs;
    this.#nowMs += tookMs + 1;
    return { askedMs, answeredMs: askedMs + tookMs, worker: 0 };
  }
  send(message: number, answer: Answer = 'done', level: Level = 'all', tookMs = 9): this {
    this.history.attempts.push({ message, queue: QUEUE, level, answer, ...this.#time(tookMs) });
    return this;
  }
  recv(message: number, intact = true): this {
    this.history.receives.push({ queue: QUEUE, answer: 'done', message, intact, ...this.#time(9) });
    return this;
  }
  recvCutOff(): this {
    this.history.receives.push({ queue: QUEUE, answer: 'unknown', ...this.#time(9) });
    return this;
  }
  /** Repeats a RECV that was sent `agoMs` ago and whose reply was not read. */
  recvAgain(message: number, receipt: string, agoMs = 20): this {
    const times = this.#time(9);
    const receive = { queue: QUEUE, message, intact: true, receipt, sinceMs: times.askedMs - agoMs, ...times };
    this.history.receives.push({ answer: 'done', ...receive });
    return this;
  }
  /** A FREE by receipt that was refused with `lease_lost`. */
  leaseLost(message: number, receipt: string): this {
    this.history.frees.push({ queue: QUEUE, message, answer: 'refused', receipt, leaseLost: true, ...this.#time(9) });
    return this;
  }
  free(message: number, answer: Answer = 'done'): this {
    this.history.frees.push({ queue: QUEUE, message, answer, ...this.#time(9) });
    return this;
  }
  wait(ms: number): this {
    this.#nowMs += ms;
    return this;
  }
  /** A fault that takes 10 ms. */
  fault(kind: FaultWindow['kind']): this {
    this.history.faults.push({ name: kind, kind, fromMs: this.#nowMs, toMs: this.#nowMs + 9 });
    return this.wait(10);
  }
  /** This fault lasted from the beginning until 10 ms from here. */
  during(kind: FaultWindow['kind']): this {
    this.history.faults.push({ name: kind, kind, fromMs: 0, toMs: this.#nowMs + 10 });
    return this;
  }
}

const story = (): Story => new Story();

/** The faults in the verdict, without counts and empty lists. */
function faultsIn(history: History): object {
  const { levels, unexpected, denied, duplicates, twoLeases, takenBack, outOfOrder, excused, slow } = check(history);
  const lost = [levels.primary, levels.quorum, levels.all].flatMap((level) => level.lost);
  const all = { lost, unexpected, denied, duplicates, twoLeases, takenBack, outOfOrder, excused, slow };
  return Object.fromEntries(Object.entries(all).filter(([, found]) => (Array.isArray(found) ? found.length : found)));
}

describe('the checker of histories', () => {
  it('finds no fault in a correct one, and counts its messages', () => {
    const { history } = story().send(1).send(2, 'unknown').send(3, 'refused').recv(1).free(1).recv(2).free(2);
    const verdict: Verdict = check(history);
    expect(faultsIn(history)).to.deep.equal({});
    expect(verdict.levels.all).to.deep.equal({ attempted: 3, acknowledged: 1, unknown: 1, lost: [] });
    expect(verdict.delivered).to.equal(2);
  });

  const cases: [string, Story, object][] = [
    ['acknowledged and never delivered: lost', story().send(1).send(2).recv(1), { lost: [2] }],
    ['unknown and never delivered: nothing', story().send(1, 'unknown'), {}],
    ['unknown, then acknowledged, never delivered: lost', story().send(1, 'unknown').send(1), { lost: [1] }],
    ['delivered and never sent: unexpected', story().recv(9), { unexpected: [9] }],
    ['delivered with another payload: unexpected', story().send(1).recv(1, false), { unexpected: [1] }],
    ['answered "not done" and delivered: denied', story().send(1, 'refused').recv(1), { denied: [1] }],
    ['refused once, then sent: nothing', story().send(1, 'refused').send(1).recv(1), {}],
    ['delivered after its FREE: a duplicate', story().send(1).recv(1).free(1).recv(1), { duplicates: [1] }],
    [
      'delivered after its FREE, long after its lease: a duplicate all the same',
      story().send(1).recv(1).free(1).wait(5_000).recv(1),
      { duplicates: [1] },
    ],
    [
      'delivered after a FREE that may not have been: nothing',
      story().send(1).recv(1).free(1, 'unknown').wait(1_000).recv(1),
      {},
    ],
    ['delivered under a live lease: two leases', story().send(1).recv(1).wait(500).recv(1), { twoLeases: [1] }],
    ['delivered after the lease: nothing', story().send(1).recv(1).wait(LEASE_MS).recv(1), {}],
    [
      'a third time under the lease of the second: two leases',
      story().send(1).recv(1).wait(LEASE_MS).recv(1).recv(1),
      { twoLeases: [1] },
    ],
    ['two leases over a fail-over: excused', story().send(1).recv(1).recv(1).during('failover'), { excused: 1 }],
    [
      'two leases while a worker dies: not excused',
      story().send(1).recv(1).recv(1).during('worker'),
      { twoLeases: [1] },
    ],
    [
      'a duplicate over a fail-over: excused',
      story().send(1).recv(1).free(1).recv(1).during('failover'),
      { excused: 1 },
    ],
    [
      'a FREE lost in a fail-over: excused, however often the lease ends afterwards',
      story().send(1).recv(1).free(1).during('failover').recv(1).wait(LEASE_MS).recv(1),
      { excused: 2 },
    ],
    [
      'freed after the fail-over and delivered again: a duplicate',
      story().send(1).recv(1).free(1).during('failover').recv(1).wait(100).free(1).recv(1),
      { excused: 1, duplicates: [1] },
    ],
    [
      'delivered under a lease that a clock which jumped ahead has ended: excused',
      story().send(1).recv(1).fault('ahead').recv(1),
      { excused: 1 },
    ],
    [
      'a third time, under the lease that was taken after the jump: two leases',
      story().send(1).recv(1).fault('ahead').recv(1).recv(1),
      { excused: 1, twoLeases: [1] },
    ],
    [
      'delivered under a live lease when the clock jumped back: two leases',
      story().send(1).recv(1).fault('back').recv(1),
      { twoLeases: [1] },
    ],
    [
      'delivered after its FREE, over a jump of the clock: a duplicate',
      story().send(1).recv(1).free(1).fault('ahead').recv(1),
      { duplicates: [1] },
    ],
    [
      'freed, sent again when the clock had jumped, delivered again: excused',
      story().send(1, 'unknown').recv(1).free(1).fault('back').send(1).recv(1),
      { excused: 1 },
    ],
    [
      'sent twice before the clock jumped, freed, delivered again: a duplicate',
      story().send(1, 'unknown').send(1).recv(1).free(1).fault('back').recv(1),
      { duplicates: [1] },
    ],
    ['a loss over a jump of the clock: not excused', story().send(1).fault('ahead'), { lost: [1] }],
    [
      'overtaken over a jump of the clock: out of order',
      story().send(1).send(2).fault('back').recv(2).recv(1),
      { outOfOrder: [1] },
    ],
    ['a loss over a fail-over: not excused', story().send(1).during('failover'), { lost: [1] }],
    [
      'told to one who asks again, when the answer that took it was not read: nothing',
      story().send(1).recvCutOff().recvAgain(1, 'a').free(1),
      {},
    ],
    [
      'told to one who asked again, and to another under his lease: two leases',
      story().send(1).recvCutOff().recvAgain(1, 'a').recv(1),
      { twoLeases: [1] },
    ],
    [
      'delivered when a lease may have ended that an unread answer began: nothing',
      story().send(1).wait(LEASE_MS).recvAgain(1, 'a', LEASE_MS).recv(1),
      {},
    ],
    [
      'told to one who asked again, whose FREE finds his live lease over: taken back',
      story().send(1).recvCutOff().recvAgain(1, 'a').leaseLost(1, 'a').wait(LEASE_MS).recv(1),
      { takenBack: [1] },
    ],
    [
      'a FREE by the receipt of a lease that has ended: nothing',
      story().send(1).recvAgain(1, 'a').wait(LEASE_MS).leaseLost(1, 'a').recv(1),
      {},
    ],
    ['a FREE by receipt behind one by id: nothing', story().send(1).recvAgain(1, 'a').free(1).leaseLost(1, 'a'), {}],
    [
      'a FREE by receipt that a fail-over has made void: nothing',
      story().send(1).recvAgain(1, 'a').leaseLost(1, 'a').during('failover').wait(LEASE_MS).recv(1),
      {},
    ],
    ['overtaken by a later message: out of order', story().send(1).send(2).recv(2).recv(1), { outOfOrder: [1] }],
    ['overtaken, one of three', story().send(1).send(2).send(3).recv(1).recv(3).recv(2), { outOfOrder: [2] }],
    [
      'overtaken when it came back after its lease: nothing',
      story().send(1).send(2).recv(1).recv(2).wait(LEASE_MS).recv(1),
      {},
    ],
    ['overtaken over a fail-over: excused', story().send(1).send(2).recv(2).recv(1).during('failover'), { excused: 1 }],
    [
      'overtaken, its first delivery perhaps cut off: nothing',
      story().send(1).send(2).recvCutOff().recv(2).wait(LEASE_MS).recv(1),
      {},
    ],
    [
      'two overtaken, one delivery cut off: one is out of order',
      story().send(1).send(2).send(3).recvCutOff().recv(3).recv(1).recv(2),
      { outOfOrder: [2] },
    ],
    ['overtaken by a message sent at the same time: nothing', concurrent(), {}],
    ['overtaken while it was not acknowledged: nothing', story().send(1, 'unknown').send(2).recv(2).recv(1), {}],
    ['a request that hangs: slow', story().send(1, 'done', 'all', 6_500).recv(1), { slow: 1 }],
    ['a request to a worker that was stopped: nothing', story().send(1, 'unknown', 'all', 3_500).during('worker'), {}],
  ];
  for (const [what, told, faults] of cases) it(what, () => expect(faultsIn(told.history)).to.deep.equal(faults));

  it('counts each level separately', () => {
    const { levels } = check(story().send(1, 'done', 'primary').send(2, 'done', 'quorum').send(3).recv(2).history);
    expect([levels.primary.lost, levels.quorum.lost, levels.all.lost]).to.deep.equal([[1], [], [3]]);
  });

  it('measures an interruption of service as the longest time without an acknowledged SEND', () => {
    // acknowledged at 9, 19, 739 and 849
    const { attempts } = story().send(1).send(2).wait(700).send(3, 'unknown').send(4).wait(100).send(5).history;
    expect(longestSilence(attempts, 0, 850)).to.equal(720);
    expect(longestSilence(attempts, 100, 850), 'from the fault').to.equal(639);
    expect(longestSilence(attempts, 740, 5_000), 'it never came back').to.equal(5_000 - 849);
  });

  it('reports the longest interruption of any queue', () => {
    const { attempts } = story().send(1).wait(500).send(2).history;
    const other = attempts.map((attempt) => ({ ...attempt, queue: 101, askedMs: 5, answeredMs: 10 }));
    expect(longestSilence([...attempts, ...other], 0, 520)).to.equal(510);
  });
});

function concurrent(): Story {
  const told = story().send(1).send(2).recv(2).recv(1);
  told.history.attempts.forEach((attempt) => Object.assign(attempt, { askedMs: 0, answeredMs: 20 }));
  return told;
}
