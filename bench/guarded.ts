// What keys, metrics and limits cost: SEND through two workers in turns, one without and one with all of them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { digestOf } from '../src/access/api-key.js';
import { median } from '../harness/measure.js';
import { GOALS, atMost } from './goals.js';
import type { Options, Row } from './results.js';
import { folder, startRedis, startWorker, stopAll } from './servers.js';
import { best, emptyQueues, inRounds, stage, type Sample } from './stages.js';
import { deal, sends, takeIds } from './traffic.js';

const ROUNDS = 24;
const COUNT = 12_800;
const KEY = 'aizumi_bench';
/** Sent to both: its bytes are not what is measured. */
const HEADERS = { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` };

export async function guarded({ quick, say }: Options): Promise<Row[]> {
  const keys = join(folder, 'keys.json');
  writeFileSync(keys, JSON.stringify({ keys: [{ name: 'bench', sha256: digestOf(KEY), send: ['*'] }] }));
  const settings = {
    AIZUMI_API_KEYS_FILE: keys,
    AIZUMI_METRICS_PORT: '0',
    AIZUMI_MAX_CLIENT_REQUESTS_PER_S: '1000000',
    AIZUMI_MAX_ADDRESS_REQUESTS_PER_S: '1000000',
    AIZUMI_MAX_CONNECTIONS: '1000',
    AIZUMI_MAX_EVENT_LOOP_DELAY_MS: '1000',
    AIZUMI_MAX_UNANSWERED_COMMANDS: '100000',
  };
  const redis = await startRedis();
  const workers = [await startWorker(redis), await startWorker(redis, { settings })];
  const rounds = quick ? 4 : ROUNDS;
  const all = await inRounds(rounds, async (round) => {
    say(`round ${round} of ${rounds}`);
    const pair: Sample[] = [];
    // who comes second costs a few percent more, whoever it is
    for (const i of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const requests = sends(COUNT, takeIds(COUNT)).map((request) => ({ ...request, headers: HEADERS }));
      pair[i] = await stage(workers[i]!, redis, deal(requests));
      await emptyQueues(redis);
    }
    return pair;
  });
  await stopAll(...workers, redis);
  const [plain, both] = [0, 1].map((i) => all.map((pair) => pair[i]!)) as [Sample[], Sample[]];
  const micros = (samples: Sample[]): Row => ({
    'best worker µs': best(samples, 'workerMicros'),
    'median worker µs': median(samples.map(({ workerMicros }) => workerMicros)),
  });
  const ratio = median(both.map(({ workerMicros }, i) => workerMicros / plain[i]!.workerMicros));
  return [
    { what: 'without keys, metrics, limits', ...micros(plain) },
    { what: 'with all of them', ...micros(both), '× in the median of pairs': ratio, ...atMost(ratio, GOALS.guarded) },
  ];
}
