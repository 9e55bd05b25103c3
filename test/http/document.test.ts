// Runs every command that docs/protocol.md and README.md show against a real broker, and compares the output. A receipt in a
// command is replaced by that of the reply before it, as a reader would copy it.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { digestOf } from '../../src/access/api-key.js';
import type { Reason } from '../../src/errors.js';
import { REASONS } from '../../src/errors.js';
import { queueKey } from '../../src/queue/keys.js';
import { keysFile } from '../support/access.js';
import { startBroker } from '../../harness/broker.js';
import type { TestBroker } from '../../harness/broker.js';
import { TRANSCRIPT_DOCUMENTS, blocksOf } from '../support/documents.js';
import { startRedisServer } from '../../harness/redis-server.js';
import { sendRequest } from '../../harness/requests.js';
import { openStore } from '../support/store.js';
import { until } from '../../harness/until.js';

const run = promisify(execFile);

interface Stand {
  broker: TestBroker;
  end(): Promise<unknown>;
}

/**
 * Set-ups that a block's info string can name, as in ```console full-queue. Such a block has a broker of its own;
 * all other blocks of a document share one, in order.
 */
const SET_UPS: Readonly<Record<string, () => Promise<Stand>>> = {
  '': () => withSettings({}),
  async 'with-keys'() {
    const file = keysFile();
    const key = { name: 'example', sha256: digestOf('aizumi_example'), send: [1], receive: [100] };
    file.write(JSON.stringify({ keys: [key] }));
    const stand = await withSettings(file.env);
    return { ...stand, end: () => stand.end().finally(() => file.delete()) };
  },
  'full-queue': () => withSettings({ AIZUMI_MAX_QUEUE_LENGTH: '2' }),
  'one-second-lease': () => withSettings({ AIZUMI_VISIBILITY_TIMEOUT_MS: '1000' }),
  'two-deliveries': () => withSettings({ AIZUMI_MAX_DELIVERIES: '2', AIZUMI_VISIBILITY_TIMEOUT_MS: '0' }),
  'redis-full': () => withOwnRedis({ args: ['--maxmemory', '100kb'] }),
  'no-disk': () => withOwnRedis({ args: ['--appendonly', 'no'] }),
  'two-replicas': () => withTwoReplicas(),
  async 'replicas-hung'() {
    const stand = await withTwoReplicas();
    stand.replicas.forEach((replica) => replica.pause());
    return stand;
  },
  async 'redis-away'() {
    const stand = await withOwnRedis({});
    await stand.redis.kill9();
    await until('the broker reports Redis as unreachable', async () => !(await fetch(`${stand.broker.url}readyz`)).ok);
    return stand;
  },
  async 'redis-hung'() {
    const stand = await withOwnRedis({});
    stand.redis.pause();
    return stand;
  },
  async 'strange-data'() {
    const stand = await withSettings({});
    const store = openStore(stand.broker.config);
    await store.raw.set(queueKey(stand.broker.config.keyPrefix, 100), 'not a stream');
    store.close();
    return stand;
  },
};

async function withSettings(env: Record<string, string>): Promise<Stand> {
  const broker = await startBroker(env);
  return { broker, end: () => broker.stop() };
}

async function withOwnRedis(options: Parameters<typeof startRedisServer>[0]) {
  const redis = await startRedisServer(options);
  const broker = await startBroker({ AIZUMI_REDIS_URL: redis.url });
  return { redis, broker, end: () => Promise.all([broker.stop(), redis.stop()]) };
}

/** Settings as a deployment has them: src/redis/replicated.conf on top of redis.conf. */
async function withTwoReplicas() {
  const replicated = ['--include', resolve('src/redis/replicated.conf')];
  const primary = await startRedisServer({ args: replicated });
  const replicaOf = [...replicated, '--replicaof', '127.0.0.1', String(primary.port)];
  const replicas = await Promise.all([1, 2].map(() => startRedisServer({ args: replicaOf })));
  const raw = new Redis(primary.url);
  await until('both replicas are in sync', async () => (await raw.wait(2, 100)) === 2, 10_000);
  raw.disconnect();
  const broker = await startBroker({ AIZUMI_REDIS_URL: primary.url });
  await until('the broker knows the replicas', async () => (await broker.post(durableSend)).status === 200);
  return {
    replicas,
    broker,
    end: () => Promise.all([broker.stop(), ...[primary, ...replicas].map((redis) => redis.stop())]),
  };
}

/** To an address that no example uses. */
const durableSend = { ...sendRequest(4_294_967_295, 0), durability: 'all' };

/** Reasons that no transcript can show, with the test that covers each. */
const NOT_SHOWN: Partial<Record<Reason, string>> = {
  request_timeout: 'takes the broker 10 s and more: http/hostile.test.ts',
  draining: 'only requests in progress when the worker begins to stop get it: http/errors.test.ts',
  rate_limited: 'needs settings that no document uses: http/limits.test.ts',
  overloaded: 'needs settings that no document uses: http/limits.test.ts',
};

/** Parts of the output that differ between runs, or between versions of Node.js. */
const MAY_DIFFER: [RegExp, string][] = [
  [/"(uptime_ms|oldest_ms|bytes)":[1-9]\d*/g, '"$1":…'],
  [/"version":"[^"]*"/g, '"version":"…"'],
  [/"(sent_at_ms|lease_until_ms|due_at_ms|died_at_ms)":1\d{12}/g, '"$1":…'],
  [/"receipt":"\d{16}:\d{13}-\d{10}"/g, '"receipt":"…"'],
  [/"cursor":"[1-4]\.\d+\.[\d:-]+"/g, '"cursor":"…"'],
  [/^Date: .*$/gm, 'Date: …'],
  [/^X-Request-Id: [0-9a-f-]{36}$/gm, 'X-Request-Id: …'],
  [/ \(line \d+ column \d+\)/g, ''], // in messages of JSON.parse, since Node.js 22
];

const comparable = (text: string): string =>
  MAY_DIFFER.reduce((result, [what, by]) => result.replace(what, by), text.replaceAll('\r', '')).trimEnd();

/** Receipt shown in a document → the receipt that was printed instead. */
const realReceipts = new Map<string, string>();
const RECEIPT = /\d{16}:\d{13}-\d{10}/g;

function noteReceipts(shown: string, printed: string): void {
  const real = printed.match(RECEIPT) ?? [];
  shown.match(RECEIPT)?.forEach((receipt, i) => realReceipts.set(receipt, real[i] ?? receipt));
}

const withRealReceipts = (command: string): string =>
  command.replace(RECEIPT, (receipt) => realReceipts.get(receipt) ?? receipt);

interface Transcript {
  /** Its line in the document, for the test's title. */
  line: number;
  command: string;
  output: string;
}

/** The transcripts of a block. Only commands that call curl or sleep are run. */
function transcriptsOf(text: string, firstLine: number): Transcript[] {
  const transcripts: Transcript[] = [];
  let transcript: Transcript | undefined;
  text.split('\n').forEach((line, i) => {
    if (line.startsWith('$ ')) {
      transcript = { line: firstLine + i, command: line.slice(2), output: '' };
      if (/\bcurl |^sleep /.test(transcript.command)) transcripts.push(transcript);
    } else if (transcript) {
      if (transcript.output === '' && transcript.command.endsWith('\\')) transcript.command += `\n${line}`;
      else transcript.output += `${line}\n`;
    }
  });
  return transcripts;
}

/** Runs the command in a shell, with the document's address replaced by that of the test's broker. */
async function outputOf(command: string, { url }: TestBroker): Promise<string> {
  const here = command.replaceAll('localhost:8080', new URL(url).host);
  if (command.includes('curl ')) expect(here, 'the documents talk to localhost:8080').not.to.equal(command);
  const { stdout } = await run('sh', ['-c', here], { timeout: 10_000, env: { ...process.env, NO_PROXY: '*' } });
  return stdout;
}

describe('the examples of the documents', () => {
  const shown = new Set<string>();
  let wereRun = 0;

  before('curl is there', async () => {
    const { stdout } = await run('curl', ['--version']).catch(() => ({ stdout: '' }));
    const [, major, minor] = /^curl (\d+)\.(\d+)/.exec(stdout) ?? [];
    const isNewEnough = Number(major) > 7 || (Number(major) === 7 && Number(minor) >= 82);
    if (!isNewEnough)
      throw new Error('these tests run curl 7.82 or newer (for its --json): install it, then try again');
  });

  const all = TRANSCRIPT_DOCUMENTS.map((name) => ({
    name,
    text: readFileSync(name, 'utf8'),
    blocks: blocksOf(name)
      .filter(({ language }) => language === 'console')
      .map(({ line, info, text }) => ({ line, setUp: info, transcripts: transcriptsOf(text, line) })),
  }));

  for (const { name, blocks } of all)
    describe(name, () => {
      let shared: Stand | undefined;
      after(() => shared?.end());

      for (const { line, setUp, transcripts } of blocks)
        describe(`line ${line}${setUp && `: ${setUp}`}`, () => {
          let stand: Stand | undefined;
          before(async () => {
            const start = SET_UPS[setUp];
            if (!start) throw new Error(`there is no set-up ${setUp}: there are${Object.keys(SET_UPS).join(' ')}`);
            stand = setUp === '' ? (shared ??= await start()) : await start();
          });
          after(() => (setUp === '' ? undefined : stand?.end()));

          for (const transcript of transcripts)
            it(transcript.command.slice(0, 100), async () => {
              const printed = await outputOf(withRealReceipts(transcript.command), stand!.broker);
              noteReceipts(transcript.output, printed);
              wereRun++;
              expect(comparable(printed), `line ${transcript.line}`).to.equal(comparable(transcript.output));
              for (const [, reason = ''] of printed.matchAll(/"reason":"(\w+)"/g)) shown.add(reason);
            });
        });
    });

  // A suite of its own, because mocha runs the tests of a suite before its nested suites.
  describe('taken together', () => {
    it('have all been run', () => {
      const commands = all.flatMap(({ text }) => text.match(/^\$ .*\bcurl .*$/gm) ?? []).length;
      const waits = all.flatMap(({ text }) => text.match(/^\$ sleep .*$/gm) ?? []).length;
      expect(commands).to.be.above(20);
      expect(wereRun).to.equal(commands + waits);
    });

    it('show every error reason, except those that cannot be shown', () => {
      expect([...shown, ...Object.keys(NOT_SHOWN)].sort()).to.deep.equal(Object.keys(REASONS).sort());
    });
  });
});
