import { expect } from 'chai';
import fc from 'fast-check';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { send } from '../../src/queue/send.js';
import { stat } from '../../src/queue/stat.js';
import type { Message } from '../../src/queue/queues.js';
import { openQueues, recv } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

const MAX_DELIVERIES = 3;
const MAX_LENGTH = 8;

type Step =
  | { do: 'send'; id: number }
  /** Deduplicated; the window outlives the history. */
  | { do: 'send once'; saddr: number; id: number; payload: string }
  | { do: 'recv' }
  | { do: 'free'; id: number }
  /** The lease of the n-th leased message (modulo their number) ends now. */
  | { do: 'end'; nth: number }
  | { do: 'gbye' };

interface ModelMessage {
  id: number;
  /** Like no other's. */
  payload: string;
  /** sender:id, of a message that was sent once only. */
  once: string | undefined;
  deliveries: number;
  state: 'new' | 'leased' | 'ended';
  /** Whether its receiver may still free it. */
  held: boolean;
  /** Place in the order of deliveries. */
  delivered: number;
}

/** What the design says of a queue, in the fewest words. */
class Model {
  messages: ModelMessage[] = [];
  dead: string[] = [];
  /** What was sent once only, sender:id → payload. */
  readonly seen = new Map<string, string>();
  #sent = 0;
  #delivered = 0;

  send(id: number): string {
    return this.#add(id, String(this.#sent), undefined);
  }

  sendOnce(saddr: number, id: number, text: string): string {
    const once = `${saddr}:${id}`;
    const payload = `"${once} ${text}"`;
    const before = this.seen.get(once);
    if (before !== undefined) return before === payload ? 'sent' : 'conflict';
    return this.#add(id, payload, once);
  }

  #add(id: number, payload: string, once: string | undefined): string {
    if (this.messages.length >= MAX_LENGTH) return 'full';
    this.messages.push({ id, payload, once, deliveries: 0, state: 'new', held: false, delivered: 0 });
    if (once !== undefined) this.seen.set(once, payload);
    else this.#sent++;
    return 'sent';
  }

  recv(): string {
    for (const message of this.messages.filter(({ state }) => state === 'ended')) {
      if (message.deliveries < MAX_DELIVERIES) return this.#deliver(message);
      this.dead.push(message.payload);
      this.messages.splice(this.messages.indexOf(message), 1);
    }
    const next = this.messages.find(({ state }) => state === 'new');
    return next ? this.#deliver(next) : 'empty';
  }

  #deliver(message: ModelMessage): string {
    Object.assign(message, {
      state: 'leased',
      held: true,
      deliveries: message.deliveries + 1,
      delivered: this.#delivered++,
    });
    return `${message.id} ${message.payload}`;
  }

  free(id: number): string {
    const [first] = this.messages.filter((m) => m.held && m.id === id).sort((a, b) => a.delivered - b.delivered);
    if (!first) return 'not held';
    this.messages.splice(this.messages.indexOf(first), 1);
    return 'freed';
  }

  /** @returns the payload of the message whose lease ends */
  end(nth: number): string | undefined {
    const leased = this.messages.filter(({ state }) => state === 'leased');
    const message = leased[nth % leased.length];
    if (message) message.state = 'ended';
    return message?.payload;
  }

  gbye(): void {
    for (const message of this.messages) {
      if (message.held) Object.assign(message, { held: false, state: 'ended' });
    }
  }

  counts(): object {
    const leased = this.messages.filter(({ state }) => state === 'leased').length;
    return { waiting: this.messages.length - leased, leased, delayed: 0, dead: this.dead.length };
  }
}

class Real {
  #sent = 0;

  constructor(
    private readonly queues: TestQueues,
    private readonly address: number,
  ) {}

  async send(id: number): Promise<string> {
    const outcome = await this.#add({ saddr: 1, id, payload: String(this.#sent) }, false);
    if (outcome === 'sent') this.#sent++;
    return outcome;
  }

  sendOnce = (saddr: number, id: number, text: string): Promise<string> =>
    this.#add({ saddr, id, payload: `"${saddr}:${id} ${text}"` }, true);

  async #add(message: Message, dedup: boolean): Promise<string> {
    try {
      await send(this.queues, this.address, message, { durability: 'primary', dedup });
    } catch (error) {
      const outcome = { queue_full: 'full', id_conflict: 'conflict' }[(error as { reason: string }).reason];
      if (outcome === undefined) throw error;
      return outcome;
    }
    return 'sent';
  }

  async recv(): Promise<string> {
    const message = await recv(this.queues, this.address);
    return message ? `${message.id} ${message.payload}` : 'empty';
  }

  free = async (id: number): Promise<string> => ((await free(this.queues, this.address, id)) ? 'freed' : 'not held');

  /** A lease that ended at the first millisecond of 1970. */
  async end(payload: string): Promise<void> {
    const entries = await this.queues.raw.xrange(this.key('queue'), '-', '+');
    const [ms, sequence] = entries.find(([, fields]) => fields[5] === payload)?.[0].split('-') as [string, string];
    const lease = `${ms}-${sequence.padStart(10, '0')}:`;
    const member = (await this.queues.raw.zrange(this.key('leases'), '0', '-1')).find((m) => m.startsWith(lease));
    await this.queues.raw.zadd(this.key('leases'), 'XX', 1, member as string);
  }

  gbye = (): Promise<void> => gbye(this.queues, this.address);

  async counts(): Promise<object> {
    const { queue } = await stat(this.queues, this.address);
    if (!queue) return { waiting: 0, leased: 0, delayed: 0, dead: 0 };
    const { oldestMs: _, ...counts } = queue;
    return counts;
  }

  /** What docs/data-model.md says is always so. */
  async checkInvariants(model: Model): Promise<void> {
    const { raw } = this.queues;
    const delivered = model.messages.filter(({ state }) => state !== 'new').length;
    expect(await raw.zcard(this.key('leases'))).to.equal(delivered);
    expect(await raw.zcard(this.key('held'))).to.equal(model.messages.filter(({ held }) => held).length);
    if (await raw.exists(this.key('queue'))) {
      expect((await raw.xpending(this.key('queue'), 'receivers'))[0]).to.equal(delivered);
    }
    const dead = await raw.xrange(this.key('dead'), '-', '+');
    expect(dead.map(([, fields]) => fields[5])).to.deep.equal(model.dead);

    const live = model.messages.flatMap(({ once }) => once ?? []);
    expect(await raw.hkeys(this.key('seen'))).to.have.members(live);
    const buckets = await raw.keys(this.key('seen:*').replace(/[{}]/g, '?'));
    const ended = await Promise.all(buckets.map((bucket) => raw.hkeys(bucket)));
    expect(ended.flat()).to.have.members([...model.seen.keys()].filter((once) => !live.includes(once)));
    for (const bucket of buckets) expect(await raw.pttl(bucket), 'it expires').to.be.above(0);
  }

  key = (name: string): string => `${this.queues.prefix}:{${this.address}}:${name}`;
}

const ids = fc.integer({ min: 1, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('send' as const), id: ids }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('send once' as const),
      saddr: fc.integer({ min: 1, max: 2 }),
      id: ids,
      // mostly a repeat
      payload: fc.oneof({ weight: 4, arbitrary: fc.constant('a') }, { weight: 1, arbitrary: fc.constant('b') }),
    }),
  },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('recv' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('free' as const), id: ids }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('end' as const), nth: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('gbye' as const) }) },
);

describe('queue: random histories', () => {
  let queues: TestQueues;
  before(async () => (queues = await openQueues({ maxDeliveries: MAX_DELIVERIES, maxQueueLength: MAX_LENGTH })));
  after(() => queues.close());

  it('behave as the model says, answer for answer', async () => {
    let address = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (history) => {
        const model = new Model();
        const real = new Real(queues, address++);
        for (const action of history) await take(action, model, real);
        await real.checkInvariants(model);
      }),
      { numRuns: 250 },
    );
  });
});

async function take(action: Step, model: Model, real: Real): Promise<void> {
  switch (action.do) {
    case 'send':
      expect(await real.send(action.id)).to.equal(model.send(action.id));
      break;
    case 'send once':
      expect(await real.sendOnce(action.saddr, action.id, action.payload)).to.equal(
        model.sendOnce(action.saddr, action.id, action.payload),
      );
      break;
    case 'recv':
      expect(await real.recv()).to.equal(model.recv());
      break;
    case 'free':
      expect(await real.free(action.id)).to.equal(model.free(action.id));
      break;
    case 'end': {
      const payload = model.end(action.nth);
      if (payload !== undefined) await real.end(payload);
      break;
    }
    case 'gbye':
      model.gbye();
      await real.gbye();
  }
  expect(await real.counts()).to.deep.equal(model.counts());
}
