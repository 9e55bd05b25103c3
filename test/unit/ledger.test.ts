// The ledger of load, with a byte for each message, must agree with the checker of chaos, with an object for each request.
import { expect } from 'chai';
import fc from 'fast-check';
import { check } from '../../chaos/checker.js';
import { emptyHistory } from '../../chaos/history.js';
import type { Answer } from '../../harness/answer.js';
import { createLedger } from '../../load/ledger.js';
import type { Ledger } from '../../load/ledger.js';

const FIRST_ID = 1_000_000_000;
const QUEUE = 100;
const MESSAGES = 4;
const LEASE_MS = 600_000;

const newLedger = (): Ledger => createLedger(FIRST_ID, 100, { first: QUEUE, count: 1 });

const answers = fc.constantFrom<Answer>('done', 'refused', 'unknown');
const message = fc.nat(MESSAGES - 1);
const events = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('received' as const), message, intact: fc.boolean() }),
    fc.record({ kind: fc.constant('freed' as const), message, answer: answers }),
  ),
  { maxLength: 12 },
);

describe('the ledger of load', () => {
  it('agrees with the checker of chaos on lost, duplicate, changed and unexpected messages', () => {
    const sends = fc.array(answers, { minLength: MESSAGES, maxLength: MESSAGES });
    fc.assert(
      fc.property(sends, events, (sent, happened) => {
        const ledger = newLedger();
        const history = emptyHistory(LEASE_MS);
        let ms = 0;
        const times = (): { askedMs: number; answeredMs: number; worker: number } => ({
          askedMs: ms++,
          answeredMs: ms++,
          worker: 0,
        });
        const messages = sent.map(() => ledger.begin(QUEUE));
        sent.forEach((answer, i) => {
          ledger.sent(messages[i]!.id, answer);
          const id = messages[i]!.id;
          history.attempts.push({ message: id, queue: QUEUE, level: 'primary', answer, ...times() });
        });
        const held = new Set<number>();
        const tried = new Set<number>();
        for (const event of happened) {
          const { id, payload, saddr, daddr } = messages[event.message]!;
          if (event.kind === 'freed') {
            // as in a run: only leased messages, each once
            if (!held.has(id) || tried.has(id)) continue;
            tried.add(id);
            ledger.freed(id, event.answer);
            history.frees.push({ message: id, queue: QUEUE, answer: event.answer, ...times() });
          } else {
            held.add(id);
            ledger.received(QUEUE, { id, saddr, daddr, payload: event.intact ? payload : `${payload}!` });
            const delivery = { message: id, intact: event.intact };
            history.receives.push({ queue: QUEUE, answer: 'done', ...delivery, ...times() });
          }
        }
        const mine = ledger.verdict();
        const theirs = check(history);
        const { attempted, acknowledged, unknown, lost } = theirs.levels.primary;
        expect(mine).to.deep.include({
          attempted,
          acknowledged,
          unknown,
          lost: lost.length,
          doubled: theirs.duplicates.length + theirs.twoLeases.length,
        });
        const changed = new Set(history.receives.filter(({ intact }) => !intact).map((receive) => receive.message));
        expect(theirs.unexpected.length, 'changed').to.equal(changed.size);
        expect(mine.changed > 0).to.equal(theirs.unexpected.length > 0);
        expect(mine.unexpected > 0).to.equal(theirs.denied.length > 0);
      }),
      { numRuns: 300 },
    );
  });

  it('balances: messages sent are messages received plus messages left', () => {
    const ledger = newLedger();
    const [freed, left, never, maybe, refused] = Array.from({ length: 5 }, () => ledger.begin(QUEUE));
    for (const { id } of [freed!, left!, never!]) ledger.sent(id, 'done');
    ledger.sent(maybe!.id, 'unknown');
    ledger.sent(refused!.id, 'refused');
    ledger.received(QUEUE, freed!);
    ledger.freed(freed!.id, 'done');
    ledger.received(QUEUE, left!);
    ledger.freed(left!.id, 'unknown');
    ledger.close();
    ledger.received(QUEUE, left!);
    ledger.received(QUEUE, maybe!);
    const expected = { attempted: 5, acknowledged: 3, unknown: 1, arrived: 1, sent: 4, received: 1, left: 2, lost: 1 };
    expect(ledger.verdict()).to.deep.include({ ...expected, doubled: 0, changed: 0, unexpected: 0 });
  });

  it('counts a message that was delivered and is gone without a FREE as vanished', () => {
    const ledger = newLedger();
    const message = ledger.begin(QUEUE);
    ledger.sent(message.id, 'done');
    ledger.received(QUEUE, message);
    ledger.close();
    expect(ledger.verdict()).to.deep.include({ sent: 1, received: 0, left: 0, lost: 0, vanished: 1 });
  });

  it('holds more messages than its initial size', () => {
    const ledger = newLedger();
    const many = Array.from({ length: 70_000 }, () => ledger.begin(QUEUE));
    for (const message of many) {
      ledger.sent(message.id, 'done');
      ledger.received(QUEUE, message);
      ledger.freed(message.id, 'done');
    }
    expect(ledger.verdict()).to.deep.include({ sent: 70_000, received: 70_000, lost: 0, changed: 0, doubled: 0 });
  });

  describe('if remaining messages are counted and not drained', () => {
    const counted = (count: number): object => {
      const ledger = newLedger();
      const messages = Array.from({ length: 5 }, () => ledger.begin(QUEUE));
      messages.forEach(({ id }, i) => ledger.sent(id, i === 4 ? 'unknown' : 'done'));
      ledger.received(QUEUE, messages[0]!);
      ledger.freed(messages[0]!.id, 'done');
      ledger.received(QUEUE, messages[1]!);
      ledger.freed(messages[1]!.id, 'unknown');
      ledger.close();
      const { left, lost, doubled } = ledger.verdict(count);
      return { left, lost, doubled };
    };

    it('allows for messages with unknown outcome', () => {
      for (const left of [2, 3, 4]) expect(counted(left)).to.deep.equal({ left, lost: 0, doubled: 0 });
    });

    it('reports how many there are too few or too many', () => {
      expect(counted(1)).to.deep.equal({ left: 1, lost: 1, doubled: 0 });
      expect(counted(5)).to.deep.equal({ left: 5, lost: 0, doubled: 1 });
    });
  });
});
