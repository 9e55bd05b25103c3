// What keys, metrics and limits cost: SEND through two workers in turns, one without and one with all of them.
// npm run build && npx tsx bench/guarded.ts
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Request } from 'autocannon';
import { digestOf } from '../src/access/api-key.js';
import { median } from '../harness/measure.js';
import { folder, startRedis, startWorker } from './servers.js';
import { emptyQueues, stage } from './stages.js';
import { deal, sends, takeIds } from './traffic.js';

const ROUNDS = 24;
const COUNT = 12_800;
/** The goal. */
const MOST = 1.15;
const KEY = 'aizumi_bench';

const file = (name: string): string => new URL(`../${name}`, import.meta.url).pathname;

const keys = join(folder, 'keys.json');
writeFileSync(keys, JSON.stringify({ keys: [{ name: 'bench', sha256: digestOf(KEY), send: ['*'] }] }));

const GUARDS = {
  AIZUMI_API_KEYS_FILE: keys,
  AIZUMI_METRICS_PORT: '0',
  AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '1000000',
  AIZUMI_MAX_ADDRESS_REQUESTS_PER_S: '1000000',
  AIZUMI_MAX_CONNECTIONS: '1000',
  AIZUMI_MAX_EVENT_LOOP_DELAY_MS: '1000',
  AIZUMI_MAX_UNANSWERED_COMMANDS: '100000',
};

const withKey = (request: Request): Request => ({
  ...request,
  headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` },
});

async function main(): Promise<void> {
  const redis = await startRedis('redis', file('src/redis/redis.conf'));
  const program = file('dist/index.js');
  const [plain, guarded] = [await startWorker(program, redis), await startWorker(program, redis, GUARDS)];
  const micros: Record<'plain' | 'guarded', number[]> = { plain: [], guarded: [] };
  const workers = [['plain', plain] as const, ['guarded', guarded] as const];
  for (let r = 0; r <= ROUNDS; r++) {
    // who comes second costs a few percent more, whoever it is
    for (const [name, worker] of workers.reverse()) {
      const requests = sends(COUNT, takeIds(COUNT));
      // the header is sent to both: its bytes are not what is measured
      const { serverMicros } = await stage(worker, redis, deal(requests.map(withKey)));
      if (r > 0) micros[name].push(serverMicros); // the first warms up
      await emptyQueues(redis);
    }
  }
  const pairs = micros.guarded.map((guarded, r) => guarded / micros.plain[r]!);
  const say = (numbers: number[]): string =>
    `${Math.min(...numbers).toFixed(1)} µs at best, ${median(numbers).toFixed(1)} in the median`;
  const ratio = median(pairs);
  const ofBest = Math.min(...micros.guarded) / Math.min(...micros.plain);
  console.log(`SEND, worker's CPU, ${ROUNDS} rounds of ${COUNT}:`);
  console.log(`  without keys, metrics, limits: ${say(micros.plain)}`);
  console.log(`  with all of them:              ${say(micros.guarded)}`);
  console.log(`  × ${ratio.toFixed(2)} in the median of pairs, × ${ofBest.toFixed(2)} of the best (goal ≤ ${MOST})`);
  await Promise.all([plain.stop(), guarded.stop()]);
  await redis.stop();
}

await main();
process.exit(0);
