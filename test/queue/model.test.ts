import { expect } from 'chai';
import fc from 'fast-check';
import { STATES } from '../../src/queue/peek.js';
import type { State } from '../../src/queue/peek.js';
import { MAX_DELIVERIES, MAX_LENGTH, ModelQueue } from '../support/model-queue.js';
import type { Life, Which } from '../support/model-queue.js';
import { openQueues } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { RealQueue } from '../support/real-queue.js';

/** By id, or the n-th delivery of all (modulo their number). */
type Chosen = { by: 'id'; id: number } | { by: 'receipt'; nth: number };

type Step =
  | { do: 'send'; id: number; later: boolean; life: Life }
  /** Deduplicated; the window outlives the history. */
  | { do: 'send once'; saddr: number; id: number; payload: string; later: boolean; life: Life }
  | { do: 'recv'; max: number; attempt: string | undefined }
  /** The reply to the n-th RECV (modulo their number) could not be written. */
  | { do: 'undo'; nth: number }
  | { do: 'free'; which: Chosen }
  | { do: 'free many'; ids: number[] }
  | { do: 'keep'; which: Chosen }
  | { do: 'back'; which: Chosen; later: boolean; counts: boolean }
  /** The lease of the n-th leased message (modulo their number) ends now. */
  | { do: 'end'; nth: number }
  /** The n-th that is delayed, or was given back with a delay, falls due now. */
  | { do: 'fall due'; what: 'delayed' | 'backed'; nth: number }
  /** The queue's own ttl_ms: everything without one is over, or nothing. */
  | { do: 'short life'; on: boolean }
  | { do: 'peek'; state: State }
  | { do: 'drop'; state: 'waiting' | 'delayed' | 'dead'; ids: number[] | undefined }
  | { do: 'move'; ids: number[] | undefined }
  | { do: 'gbye' };

const ids = fc.integer({ min: 1, max: 3 });
const rarely = fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const life = fc.oneof(
  { weight: 6, arbitrary: fc.constant('none' as const) },
  { weight: 1, arbitrary: fc.constantFrom('long' as const, 'over' as const) },
);
const which: fc.Arbitrary<Chosen> = fc.oneof(
  fc.record({ by: fc.constant('id' as const), id: ids }),
  fc.record({ by: fc.constant('receipt' as const), nth: fc.nat(30) }),
);
const someIds = fc.option(fc.array(ids, { minLength: 1, maxLength: 2 }), { nil: undefined });
const does = <T extends Step['do']>(name: T): fc.Arbitrary<T> => fc.constant(name);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: does('send'), id: ids, later: rarely, life }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: does('send once'),
      saddr: fc.integer({ min: 1, max: 2 }),
      id: ids,
      // mostly a repeat
      payload: fc.oneof({ weight: 4, arbitrary: fc.constant('a') }, { weight: 1, arbitrary: fc.constant('b') }),
      later: rarely,
      life,
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      do: does('recv'),
      max: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 2, max: 5 }) }),
      attempt: fc.oneof(
        { weight: 3, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: fc.constantFrom('a', 'b') },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: does('undo'), nth: fc.nat(30) }) },
  { weight: 3, arbitrary: fc.record({ do: does('free'), which }) },
  { weight: 1, arbitrary: fc.record({ do: does('free many'), ids: fc.array(ids, { minLength: 1, maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ do: does('keep'), which }) },
  { weight: 2, arbitrary: fc.record({ do: does('back'), which, later: fc.boolean(), counts: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: does('end'), nth: fc.nat(9) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: does('fall due'), what: fc.constantFrom('delayed', 'backed'), nth: fc.nat(9) }),
  },
  { weight: 1, arbitrary: fc.record({ do: does('short life'), on: rarely }) },
  { weight: 2, arbitrary: fc.record({ do: does('peek'), state: fc.constantFrom(...STATES) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: does('drop'), state: fc.constantFrom('waiting', 'delayed', 'dead'), ids: someIds }),
  },
  { weight: 2, arbitrary: fc.record({ do: does('move'), ids: someIds }) },
  { weight: 1, arbitrary: fc.record({ do: does('gbye') }) },
);

/** Of the histories; fast-check tells the one of a run that failed. */
const seed = process.env.AIZUMI_TEST_SEED === undefined ? {} : { seed: Number(process.env.AIZUMI_TEST_SEED) };

describe('queue: random histories', () => {
  let queues: TestQueues;
  before(async () => (queues = await openQueues({ maxDeliveries: MAX_DELIVERIES, maxQueueLength: MAX_LENGTH })));
  after(() => queues.close());

  it('behave as the model says, answer for answer', async () => {
    let address = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (history) => {
        const model = new ModelQueue();
        const real = new RealQueue(queues, address++);
        for (const action of history) await take(action, model, real);
        await real.checkInvariants(model);
      }),
      { numRuns: 250, ...seed },
    );
  });
});

async function take(action: Step, model: ModelQueue, real: RealQueue): Promise<void> {
  switch (action.do) {
    case 'send': {
      const { id, later, life } = action;
      expect(await real.send(id, later, life)).to.equal(model.send(id, later, life));
      if (life === 'over' || model.shortLife) await real.passAMillisecond();
      break;
    }
    case 'send once': {
      const { saddr, id, payload, later, life } = action;
      expect(await real.sendOnce(saddr, id, payload, later, life)).to.equal(
        model.sendOnce(saddr, id, payload, later, life),
      );
      if (life === 'over' || model.shortLife) await real.passAMillisecond();
      break;
    }
    case 'recv':
      expect(await real.recv(action.max, action.attempt)).to.equal(model.recv(action.max, action.attempt));
      break;
    case 'undo': {
      if (model.told.length === 0) break;
      const nth = action.nth % model.told.length;
      model.undo(nth);
      await real.undo(nth);
      break;
    }
    case 'free':
      await onOne(action.which, model, async (one) => expect(await real.free(one)).to.equal(model.free(one)));
      break;
    case 'free many':
      expect(await real.freeMany(action.ids)).to.deep.equal(model.freeMany(action.ids));
      break;
    case 'keep':
      await onOne(action.which, model, async (one) => expect(await real.keep(one)).to.equal(model.keep(one)));
      break;
    case 'back': {
      const { later, counts } = action;
      await onOne(action.which, model, async (one) =>
        expect(await real.back(one, later, counts)).to.equal(model.back(one, later, counts)),
      );
      break;
    }
    case 'end': {
      const payload = model.end(action.nth);
      if (payload !== undefined) await real.end(payload);
      break;
    }
    case 'fall due': {
      const due = model.fallDue(action.what, action.nth);
      if (due) await real.fallDue(action.what, due);
      break;
    }
    case 'short life':
      model.shortLife = action.on;
      await real.setShortLife(action.on);
      await real.passAMillisecond();
      break;
    case 'peek':
      expect(await real.peek(action.state)).to.deep.equal(model.peek(action.state));
      break;
    case 'drop':
      expect(await real.drop(action.state, action.ids)).to.equal(model.drop(action.state, action.ids));
      break;
    case 'move':
      expect(await real.move(action.ids)).to.equal(model.move(action.ids));
      if (model.shortLife) await real.passAMillisecond();
      break;
    case 'gbye': {
      const isEmpty = model.gbye();
      await real.gbye(isEmpty);
      // the queue's settings and counts end with it
      if (isEmpty) Object.assign(model, { shortLife: false, expired: 0 });
    }
  }
  expect(await real.counts()).to.deep.equal(model.counts());
}

/** Before the first delivery there is no receipt. */
async function onOne(chosen: Chosen, model: ModelQueue, act: (one: Which) => Promise<unknown>): Promise<void> {
  if (chosen.by === 'id') await act({ id: chosen.id });
  else if (model.deliveries.length > 0) await act({ nth: chosen.nth % model.deliveries.length });
}
