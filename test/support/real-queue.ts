// A queue in Redis, driven as test/support/model-queue.ts is, its answers told in the same words.
import { expect } from 'chai';
import { back } from '../../src/queue/back.js';
import { drop, purge } from '../../src/queue/drop.js';
import { free, freeMany } from '../../src/queue/free.js';
import { giveBack } from '../../src/queue/give-back.js';
import { gbye } from '../../src/queue/gbye.js';
import { keep } from '../../src/queue/keep.js';
import { move } from '../../src/queue/move.js';
import { peek } from '../../src/queue/peek.js';
import type { State } from '../../src/queue/peek.js';
import type { Message } from '../../src/queue/queues.js';
import { recv } from '../../src/queue/recv.js';
import type { Delivery } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { readStat } from '../../src/queue/stat.js';
import { Sweeps } from '../../src/queue/sweeps.js';
import type { Life, ModelQueue, Which } from './model-queue.js';
import { endedFields, redisMs } from './queues.js';
import type { TestQueues } from './queues.js';

/** Longer than any history. */
const HOUR_MS = 3_600_000;
const AT_ONCE = 1_000;
/** Few, so that there are several. */
const PAGE = 3;
const TTL_MS: Record<Life, number | undefined> = { none: undefined, long: HOUR_MS, over: 1 };
const WORDS: Record<string, string> = { queue_full: 'full', id_conflict: 'conflict', lease_lost: 'lease_lost' };

/** What a RECV was answered. */
interface Told {
  attemptId: string | undefined;
  messages: Delivery[];
}

export class RealQueue {
  #sent = 0;
  #kept = 0;
  /** Not undone yet. */
  readonly #told: Told[] = [];
  readonly #receipts: { id: number; receipt: string }[] = [];

  constructor(
    private readonly shared: TestQueues,
    private readonly address: number,
  ) {}

  /** A search for expired messages that found nothing does not rest: the model knows no time. */
  get queues(): TestQueues {
    return { ...this.shared, sweeps: new Sweeps() };
  }

  key = (name: string): string => `${this.queues.prefix}:{${this.address}}:${name}`;

  async send(id: number, later: boolean, life: Life): Promise<string> {
    const outcome = await this.#add({ saddr: 1, id, payload: String(this.#sent) }, false, later, life);
    if (outcome === 'sent') this.#sent++;
    return outcome;
  }

  sendOnce = (saddr: number, id: number, text: string, later: boolean, life: Life): Promise<string> =>
    this.#add({ saddr, id, payload: `"${saddr}:${id} ${text}"` }, true, later, life);

  async #add(message: Message, dedup: boolean, later: boolean, life: Life): Promise<string> {
    const options = { durability: 'primary', dedup, delayMs: later ? HOUR_MS : 0, ttlMs: TTL_MS[life] } as const;
    return formatError(async () => {
      await send(this.queues, this.address, message, options);
      return 'sent';
    });
  }

  /** So that what is to be over is over. */
  async passAMillisecond(): Promise<void> {
    const now = await redisMs(this.queues);
    while ((await redisMs(this.queues)) <= now);
  }

  async recv(max: number, attemptId: string | undefined): Promise<string> {
    const first = await recv(this.queues, this.address, { max, attemptId });
    // a call for one message does little, and the next goes on with it
    const isToGoOn = first.messages.length === 0 && first.againMs === 0;
    const { messages, againMs } = isToGoOn
      ? await recv(this.queues, this.address, { max, attemptId }, { isBegun: true })
      : first;
    if (messages.length === 0) {
      if (isToGoOn) return 'empty: look again';
      return againMs === undefined ? 'empty' : 'empty: until something is due';
    }
    for (const { id, receipt } of messages)
      if (!this.#receipts.some((known) => known.receipt === receipt)) this.#receipts.push({ id, receipt });
    this.#told.push({ attemptId, messages });
    return messages.map(({ id, payload, attempt }) => `${id} ${payload} ${attempt}`).join(', ');
  }

  /** The n-th reply of RECV that was not undone did not reach anybody. */
  async undo(nth: number): Promise<void> {
    const [{ attemptId, messages }] = this.#told.splice(nth, 1) as [Told];
    await giveBack(this.queues, this.address, messages, attemptId);
  }

  freeMany = (ids: readonly number[]): Promise<number[]> => freeMany(this.queues, this.address, ids);

  free = (which: Which): Promise<string> =>
    this.#act(which, (id, receipt) => free(this.queues, this.address, id, receipt));

  keep = (which: Which): Promise<string> =>
    this.#act(which, (id, receipt) => keep(this.queues, this.address, id, HOUR_MS + ++this.#kept, receipt));

  back = (which: Which, later: boolean, counts: boolean): Promise<string> =>
    this.#act(which, (id, receipt) =>
      back(this.queues, this.address, id, { receipt, delayMs: later ? HOUR_MS : 0, counts }),
    );

  #act(which: Which, action: (id: number, receipt?: string) => Promise<boolean>): Promise<string> {
    const { id, receipt } = 'id' in which ? { id: which.id, receipt: undefined } : this.#receipts[which.nth]!;
    return formatError(async () => ((await action(id, receipt)) ? 'done' : 'not held'));
  }

  /** Page by page. */
  async peek(state: State): Promise<string[]> {
    const texts: string[] = [];
    let cursor = '';
    do {
      const page = await peek(this.queues, this.address, state, PAGE, cursor);
      texts.push(...page.messages.map(({ id, payload, attempts }) => `${id} ${payload} ${attempts}`));
      cursor = page.cursor;
    } while (cursor !== '');
    return texts.sort();
  }

  drop = async (state: Exclude<State, 'leased'>, ids: readonly number[] | undefined): Promise<number> =>
    ids === undefined
      ? (await purge(this.queues, this.address, state)).count
      : drop(this.queues, this.address, state, ids, AT_ONCE);

  move = (ids: readonly number[] | undefined): Promise<number> => move(this.queues, this.address, ids, AT_ONCE);

  /** A lease that ended at the first millisecond of 1970. */
  async end(payload: string): Promise<void> {
    await this.#score('leases', 1, `${await this.#entryOf(payload)}:`);
  }

  async fallDue(what: 'delayed' | 'backed', { payload, due }: { payload: string; due: number }): Promise<void> {
    if (what === 'backed') return this.#score('backed', due, await this.#entryOf(payload));
    const members = await this.queues.raw.zrange(this.key('delayed'), '0', '-1');
    await this.#score('delayed', due, members.find((m) => /^(?:\d*:){5}(.*)$/.exec(m)?.[1] === payload) as string);
  }

  async #score(name: string, score: number, start: string): Promise<void> {
    const member = (await this.queues.raw.zrange(this.key(name), '0', '-1')).find((m) => m.startsWith(start));
    await this.queues.raw.zadd(this.key(name), 'XX', score, member as string);
  }

  async #entryOf(payload: string): Promise<string> {
    const entries = await this.queues.raw.xrange(this.key('queue'), '-', '+');
    const [ms, sequence] = entries.find(([, fields]) => fields[5] === payload)?.[0].split('-') as [string, string];
    return `${ms}-${sequence.padStart(10, '0')}`;
  }

  async setShortLife(on: boolean): Promise<void> {
    if (on) await this.queues.raw.hset(this.key('settings'), 'ttl_ms', 1);
    else await this.queues.raw.del(this.key('settings'));
  }

  async gbye(isEmpty: boolean): Promise<void> {
    await gbye(this.queues, this.address);
    if (isEmpty) await this.queues.raw.del(this.key('settings'), this.key('counts'));
  }

  async counts(): Promise<object> {
    // STAT itself would throw away what has expired
    const found = await readStat(this.queues, this.address);
    if (!found) return { waiting: 0, leased: 0, delayed: 0, dead: 0 };
    const { waiting, leased, delayed, dead } = found.stat;
    return { waiting, leased, delayed, dead };
  }

  /** What docs/data-model.md says is always so. */
  async checkInvariants(model: ModelQueue): Promise<void> {
    const { raw } = this.queues;
    const inState = (...states: string[]): number =>
      model.messages.filter(({ state }) => states.includes(state)).length;
    expect(await raw.zcard(this.key('leases')), 'leases').to.equal(inState('leased', 'ended'));
    expect(await raw.zcard(this.key('backed')), 'backed').to.equal(inState('backed'));
    expect(await raw.zcard(this.key('held')), 'held').to.equal(model.messages.filter(({ held }) => held).length);
    expect(await raw.zcard(this.key('delayed')), 'delayed').to.equal(model.delayed.length);
    expect(await raw.xlen(this.key('queue')), 'queue').to.equal(model.messages.length);
    if (await raw.exists(this.key('queue'))) {
      const [pending] = await raw.xpending(this.key('queue'), 'receivers');
      expect(pending, 'pending').to.equal(inState('leased', 'ended', 'backed'));
    }
    const dead = await raw.xrange(this.key('dead'), '-', '+');
    expect(dead.map(([, fields]) => fields[5])).to.deep.equal(model.dead.map(({ payload }) => payload));
    expect(Number(await raw.hget(this.key('counts'), 'expired')), 'expired').to.equal(model.expired);

    await this.#checkAttempts(model);

    const live = [...model.messages, ...model.delayed].flatMap(({ once }) => once ?? []);
    expect(await raw.hkeys(this.key('seen'))).to.have.members(live);
    const ended = await endedFields(this.queues, this.address);
    expect(ended).to.have.members([...model.seen.keys()].filter((once) => !live.includes(once)));
  }

  /** Of each attempt its receipts, which are held, and its attempt_id; nothing else. */
  async #checkAttempts(model: ModelQueue): Promise<void> {
    const { raw } = this.queues;
    const held = await raw.zrange(this.key('held'), '0', '-1');
    const scores = await raw.zrange(this.key('attempts'), '0', '-1', 'WITHSCORES');
    const receipts = new Map<number, string[]>();
    const heads: [string, number][] = [];
    for (let i = 0; i < scores.length; i += 2) {
      const [member, score] = [scores[i]!, Number(scores[i + 1])];
      if (member.startsWith('=')) heads.push([member.slice(1), score]);
      else receipts.set(score, [...(receipts.get(score) ?? []), member]);
    }
    expect(held).to.include.members([...receipts.values()].flat());
    const found = heads.map(([id, score]) => {
      const of = receipts.get(score - (score % 1000)) ?? [];
      receipts.delete(score - (score % 1000));
      return [id, { asks: score % 1000, count: of.length }] as const;
    });
    expect([...receipts.keys()], 'without an attempt_id').to.deep.equal([]);
    const expected = Object.entries(model.attempts());
    expect(Object.fromEntries(found)).to.deep.equal(
      Object.fromEntries(expected.map(([id, { asks, payloads }]) => [id, { asks, count: payloads.length }])),
    );
  }
}

/** @returns what `attempt` resolves to, or the word for why it was refused */
async function formatError(attempt: () => Promise<string>): Promise<string> {
  try {
    return await attempt();
  } catch (error) {
    const word = WORDS[(error as { reason: string }).reason];
    if (word === undefined) throw error;
    return word;
  }
}
