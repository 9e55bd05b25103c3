// Finds the top queues, which hold the most messages, for the metrics, without ever reading all queues at once.
import { TOP_QUEUES_AT_ONCE, TOP_QUEUES_ROUND } from '../config/limits.js';
import { redisFailure } from '../redis/failure.js';
import { registryKey } from './keys.js';
import type { Queues } from './queues.js';
import { readStat } from './stat.js';
import type { QueueStat } from './stat.js';

/** A message of this age is old, ms. */
const OLD_MS = 60_000;

const doublings = (amount: number): number => Math.ceil(Math.log2(1 + amount));

export interface TopQueue extends QueueStat {
  address: number;
}

export interface TopQueuesReport {
  /** The top queues, at most as many as were asked for. */
  queues: TopQueue[];
  /** How many queues the broker has. */
  total: number;
  /** Age of the oldest message in all queues that were read in this walk and the one before, ms. */
  oldestMs: number;
  /** Messages in the dead streams of the same queues. */
  dead: number;
}

interface Sums {
  oldestMs: number;
  dead: number;
}

/** Each round continues where the last one ended. One round reads all queues if there are at most {@link TOP_QUEUES_ROUND}. */
export class TopQueues {
  #shown: TopQueue[] = [];
  #after = -1;
  #thisWalk: Sums = { oldestMs: 0, dead: 0 };
  #lastWalk: Sums | undefined;
  #underWay: Promise<TopQueuesReport> | undefined;

  constructor(
    private readonly queues: Queues,
    private readonly most: number,
  ) {}

  /**
   * Calls during a round share it.
   * @throws BrokerError unavailable
   */
  round(): Promise<TopQueuesReport> {
    return (this.#underWay ??= this.#round().finally(() => (this.#underWay = undefined)));
  }

  async #round(): Promise<TopQueuesReport> {
    const { redis, settings } = this.queues;
    const register = registryKey(settings.keyPrefix);
    try {
      const [total, page] = await Promise.all([
        redis.zcard(register),
        redis.zrange(register, `(${this.#after}`, '+inf', 'BYSCORE', 'LIMIT', 0, TOP_QUEUES_ROUND),
      ]);
      const addresses = page.map(Number);
      const shown = this.#shown.map(({ address }) => address);
      const found = await this.#read([...new Set([...shown, ...addresses])]);
      const walked = new Set(addresses);
      this.#add(found.filter(({ address }) => walked.has(address)));
      this.#shown = this.#choose(found);
      const { oldestMs, dead } = this.#end(addresses);
      return { queues: this.#shown, total, oldestMs, dead };
    } catch (error) {
      throw redisFailure(error);
    }
  }

  async #read(addresses: number[]): Promise<TopQueue[]> {
    const found: TopQueue[] = [];
    for (let i = 0; i < addresses.length; i += TOP_QUEUES_AT_ONCE) {
      const reads = addresses.slice(i, i + TOP_QUEUES_AT_ONCE).map(async (address) => {
        const seen = await readStat(this.queues, address);
        if (seen) found.push({ address, ...seen.stat });
      });
      await Promise.all(reads);
    }
    return found;
  }

  #add(found: TopQueue[]): void {
    for (const { oldestMs, dead } of found) {
      this.#thisWalk.oldestMs = Math.max(this.#thisWalk.oldestMs, oldestMs);
      this.#thisWalk.dead += dead;
    }
  }

  /**
   * A queue stays among the top queues until another holds twice as much, since each change adds a time series to the metrics'
   * store. The queue with the oldest message is always one of them, until another's message is twice as old, so that an alert can
   * name it.
   */
  #choose(found: TopQueue[]): TopQueue[] {
    const shown = new Set(this.#shown.map(({ address }) => address));
    const rank = ({ waiting, leased, delayed, dead }: TopQueue): number => doublings(waiting + leased + delayed + dead);
    const most = (by: (queue: TopQueue) => number): TopQueue[] =>
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
    if (addresses.length === TOP_QUEUES_ROUND) {
      this.#after = addresses.at(-1) as number;
      // a walk that takes many rounds: returns what is known so far
      const last = this.#lastWalk ?? this.#thisWalk;
      return { oldestMs: Math.max(last.oldestMs, this.#thisWalk.oldestMs), dead: last.dead };
    }
    this.#after = -1;
    this.#lastWalk = this.#thisWalk;
    this.#thisWalk = { oldestMs: 0, dead: 0 };
    return this.#lastWalk;
  }
}
