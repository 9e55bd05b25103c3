// What Redis uses for complete cycles SEND + RECV + FREE: the broker's, on the shipped redis.conf, against native
// commands on a stock Redis. Both behind an HTTP server, under the same clients, over the same standing queues.
import { drive } from './drive.js';
import type { HttpServer, RedisServer } from './servers.js';
import { stage } from './stages.js';
import { EVEN_SHARE, cycles, deal, sends, takeIds } from './traffic.js';

/** Messages that wait all the time, over all addresses: a queue is not empty between SEND and RECV. */
const BACKLOG = 4 * EVEN_SHARE;

export interface Contender {
  server: HttpServer;
  redis: RedisServer;
}

export interface CycleCost {
  /** Per cycle, of the best round. */
  redisMicros: number;
  serverMicros: number;
  forks: number;
}

/** Alternates rounds of `count` cycles between the contenders, after one that is not counted. */
export async function compareCycles(contenders: Contender[], rounds: number, count: number): Promise<CycleCost[]> {
  const best = contenders.map((): CycleCost => ({ redisMicros: Infinity, serverMicros: Infinity, forks: 0 }));
  for (const { server } of contenders) {
    await drive(server.url, deal(sends(BACKLOG, takeIds(BACKLOG))));
    await drive(server.url, cycles(EVEN_SHARE, takeIds(EVEN_SHARE)));
  }
  for (let r = 0; r < rounds; r++) {
    for (const [i, { server, redis }] of contenders.entries()) {
      const cost = await stage(server, redis, cycles(count, takeIds(count)), count);
      const so = best[i]!;
      so.redisMicros = Math.min(so.redisMicros, cost.redisMicros);
      so.serverMicros = Math.min(so.serverMicros, cost.serverMicros);
      so.forks += cost.forks;
    }
  }
  return best;
}
