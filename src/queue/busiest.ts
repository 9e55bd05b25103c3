// The queues that hold the most messages, found without ever looking at all of them at once: for the metrics.
import { redisFailure } from '../redis/failure.js';
import { registryKey } from './keys.js';
import type { Queues } from './queues.js';
import { look } from './stat.js';
import type { QueueStat } from './stat.js';

/** Queues looked at in one round, and in one packet to Redis: each costs it some 20 µs. */
const IN_A_ROUND = 1_000;
const AT_ONCE = 50;

/** No message is old before. */
const OLD_MS = 60_000;

const doublings = (amount: number): number => Math.ceil(Math.log2(1 + amount));

export interface BusyQueue extends QueueStat {
  address: number;
}

export interface BusyReport {
  /** At most as many as were asked for. */
  queues: BusyQueue[];
  /** How many queues the broker has. */
  total: number;
  /** Over all queues, as far as they were looked at in this walk and the one before: age of the oldest message, ms. */
  oldestMs: number;
  /** Over all queues likewise: messages in dead streams. */
  dead: number;
}

interface Sums {
  oldestMs: number;
  dead: number;
}

/** Each round goes on where the last one ended: with up to {@link IN_A_ROUND} queues each sees all, with more every so many. */
export class BusiestQueues {
  #shown: BusyQueue[] = [];
  #after = -1;
  #thisWalk: Sums = { oldestMs: 0, dead: 0 };
  #lastWalk: Sums | undefined;
  #underWay: Promise<BusyReport> | undefined;

  constructor(
    private readonly queues: Queues,
    private readonly most: number,
  ) {}

  /**
   * Asked again before it has ended, it is the same round.
   * @throws BrokerError unavailable
   */
  round(): Promise<BusyReport> {
    return (this.#underWay ??= this.#round().finally(() => (this.#underWay = undefined)));
  }

  async #round(): Promise<BusyReport> {
    const { redis, settings } = this.queues;
    const register = registryKey(settings.keyPrefix);
    try {
      const [total, page] = await Promise.all([
        redis.zcard(register),
        redis.zrange(register, `(${this.#after}`, '+inf', 'BYSCORE', 'LIMIT', 0, IN_A_ROUND),
      ]);
      const addresses = page.map(Number);
      const shown = this.#shown.map(({ address }) => address);
      const found = await this.#look([...new Set([...shown, ...addresses])]);
      const walked = new Set(addresses);
      this.#add(found.filter(({ address }) => walked.has(address)));
      this.#shown = this.#choose(found);
      const { oldestMs, dead } = this.#end(addresses);
      return { queues: this.#shown, total, oldestMs, dead };
    } catch (error) {
      throw redisFailure(error);
    }
  }

  async #look(addresses: number[]): Promise<BusyQueue[]> {
    const found: BusyQueue[] = [];
    for (let i = 0; i < addresses.length; i += AT_ONCE) {
      const looks = addresses.slice(i, i + AT_ONCE).map(async (address) => {
        const seen = await look(this.queues, address);
        if (seen) found.push({ address, ...seen.stat });
      });
      await Promise.all(looks);
    }
    return found;
  }

  #add(found: BusyQueue[]): void {
    for (const { oldestMs, dead } of found) {
      this.#thisWalk.oldestMs = Math.max(this.#thisWalk.oldestMs, oldestMs);
      this.#thisWalk.dead += dead;
    }
  }

  /**
   * Who is shown stays until another holds twice as much: each change is another series for who stores the metrics. One of them
   * is the queue with the oldest message, until another's is twice as old: an alert is to name it.
   */
  #choose(found: BusyQueue[]): BusyQueue[] {
    const shown = new Set(this.#shown.map(({ address }) => address));
    const rank = ({ waiting, leased, delayed, dead }: BusyQueue): number =>
      doublings(waiting + leased + delayed + dead);
    const most = (by: (queue: BusyQueue) => number): BusyQueue[] =>
      [...found].sort(
        (a, b) => by(b) - by(a) || Number(shown.has(b.address)) - Number(shown.has(a.address)) || a.address - b.address,
      );
    const fullest = most(rank).slice(0, this.most);
    const [oldest] = most(({ oldestMs }) => doublings(oldestMs / OLD_MS));
    const isOld = oldest !== undefined && oldest.oldestMs >= OLD_MS;
    if (!isOld || fullest.includes(oldest) || this.most < 2) return fullest;
    return [...fullest.slice(0, this.most - 1), oldest];
  }

  #end(addresses: number[]): Sums {
    if (addresses.length === IN_A_ROUND) {
      this.#after = addresses.at(-1) as number;
      // a walk that takes many rounds: what is known is told
      const last = this.#lastWalk ?? this.#thisWalk;
      return { oldestMs: Math.max(last.oldestMs, this.#thisWalk.oldestMs), dead: last.dead };
    }
    this.#after = -1;
    this.#lastWalk = this.#thisWalk;
    this.#thisWalk = { oldestMs: 0, dead: 0 };
    return this.#lastWalk;
  }
}
