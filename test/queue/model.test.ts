import { expect } from 'chai';
import fc from 'fast-check';
import { free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { recv } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { stat } from '../../src/queue/stat.js';
import { openQueues } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';

const MAX_DELIVERIES = 3;
const MAX_LENGTH = 8;

type Step =
  | { do: 'send'; id: number }
  | { do: 'recv' }
  | { do: 'free'; id: number }
  /** The lease of the n-th leased message (modulo their number) ends now. */
  | { do: 'end'; nth: number }
  | { do: 'gbye' };

interface ModelMessage {
  id: number;
  /** Its place in the order of SENDs; the payload too. */
  seq: number;
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
  dead: number[] = [];
  #sent = 0;
  #delivered = 0;

  send(id: number): string {
    if (this.messages.length >= MAX_LENGTH) return 'full';
    this.messages.push({ id, seq: this.#sent++, deliveries: 0, state: 'new', held: false, delivered: 0 });
    return 'sent';
  }

  recv(): string {
    for (const message of this.messages.filter(({ state }) => state === 'ended')) {
      if (message.deliveries < MAX_DELIVERIES) return this.#deliver(message);
      this.dead.push(message.seq);
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
    return `${message.id} ${message.seq}`;
  }

  free(id: number): string {
    const [first] = this.messages.filter((m) => m.held && m.id === id).sort((a, b) => a.delivered - b.delivered);
    if (!first) return 'not held';
    this.messages.splice(this.messages.indexOf(first), 1);
    return 'freed';
  }

  /** @returns the seq of the message whose lease ends */
  end(nth: number): number | undefined {
    const leased = this.messages.filter(({ state }) => state === 'leased');
    const message = leased[nth % leased.length];
    if (message) message.state = 'ended';
    return message?.seq;
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
    try {
      await send(this.queues, this.address, { saddr: 1, id, payload: String(this.#sent) });
    } catch (error) {
      if ((error as { reason?: string }).reason === 'queue_full') return 'full';
      throw error;
    }
    this.#sent++;
    return 'sent';
  }

  async recv(): Promise<string> {
    const message = await recv(this.queues, this.address);
    return message ? `${message.id} ${message.payload}` : 'empty';
  }

  free = async (id: number): Promise<string> => ((await free(this.queues, this.address, id)) ? 'freed' : 'not held');

  /** A lease that ended at the first millisecond of 1970. */
  async end(seq: number): Promise<void> {
    const entries = await this.queues.raw.xrange(this.key('queue'), '-', '+');
    const [ms, sequence] = entries.find(([, fields]) => fields[5] === String(seq))?.[0].split('-') as [string, string];
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
    expect(dead.map(([, fields]) => Number(fields[5]))).to.deep.equal(model.dead);
  }

  key = (name: string): string => `${this.queues.prefix}:{${this.address}}:${name}`;
}

const ids = fc.integer({ min: 1, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('send' as const), id: ids }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('recv' as const) }) },
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
    case 'recv':
      expect(await real.recv()).to.equal(model.recv());
      break;
    case 'free':
      expect(await real.free(action.id)).to.equal(model.free(action.id));
      break;
    case 'end': {
      const seq = model.end(action.nth);
      if (seq !== undefined) await real.end(seq);
      break;
    }
    case 'gbye':
      model.gbye();
      await real.gbye();
  }
  expect(await real.counts()).to.deep.equal(model.counts());
}
