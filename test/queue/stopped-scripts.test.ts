// Scripts that stop half-way: Redis does not undo what they have written. An error is put into each call of each script in
// turn, and ordinary requests must find everything afterwards. What there is to fail comes from the scripts' own text.
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { SLICE_BYTES } from '../../src/config/limits.js';
import { back } from '../../src/queue/back.js';
import { purge } from '../../src/queue/drop.js';
import { freeMany, free } from '../../src/queue/free.js';
import { gbye } from '../../src/queue/gbye.js';
import { giveBack } from '../../src/queue/give-back.js';
import { helo } from '../../src/queue/helo.js';
import { keep } from '../../src/queue/keep.js';
import { report } from '../../src/queue/list.js';
import { move } from '../../src/queue/move.js';
import { STATES, peek } from '../../src/queue/peek.js';
import { QUEUE_SCRIPTS } from '../../src/queue/queues.js';
import type { QueueRedis, Queues } from '../../src/queue/queues.js';
import { LightTurns } from '../../src/queue/light-turns.js';
import { MessageSizes } from '../../src/queue/message-sizes.js';
import { QueueLengths } from '../../src/queue/queue-lengths.js';
import { Shares } from '../../src/queue/shares.js';
import { Sweeps } from '../../src/queue/sweeps.js';
import { Turns } from '../../src/queue/turns.js';
import { UsedAddresses } from '../../src/queue/used-addresses.js';
import { put } from '../../src/queue/register.js';
import { recv } from '../../src/queue/recv.js';
import type { Delivery } from '../../src/queue/recv.js';
import { send } from '../../src/queue/send.js';
import { makeDue, openQueues, redisMs } from '../support/queues.js';
import type { TestQueues } from '../support/queues.js';
import { startRedisServer } from '../../harness/redis-server.js';
import type { TestServer } from '../../harness/redis-server.js';

const HOUR_MS = 3_600_000;
const MAX_DELIVERIES = 6;
const AT_ONCE = 16;
const MOST_TIMES = 25;
const REFUSAL = "ERR The user executing the script can't run this command or subcommand";
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** A script whose calls are counted: the one with the number in its last ARGV fails. Returns {result, sites called}. */
interface Instrumented {
  lua: string;
  sites: number;
}

function instrument(lua: string): Instrumented {
  const [shebang, ...lines] = lua.split('\n');
  let sites = 0;
  const body = lines
    .join('\n')
    .replace(/^\s*--.*$/gm, '')
    .replace(/\bredis\.(p?call)\(/g, (_, how: string) => `at(${sites++}, '${how}', `);
  const top = `
    local sites, fails_at = {}, tonumber(table.remove(ARGV))
    local function at(site, how, ...)
      sites[#sites + 1] = site
      if #sites ~= fails_at then return redis[how](...) end
      local refusal = { err = "${REFUSAL}" }
      if how == 'pcall' then return refusal else error(refusal) end
    end`;
  // an error that ends a script has its place behind it, one that the script returns has not
  const end = `
    local called = table.concat(sites, ' ')
    if not ok then return { err = (result.err or result) .. ' script: x, on @user_script:1. CALLED ' .. called } end
    if type(result) == 'table' and result.err then return { err = result.err .. ' CALLED ' .. called } end
    return { result, called }`;
  return {
    lua: `${shebang}\n${top}\nlocal function body()\n${body}\nend\nlocal ok, result = pcall(body)${end}`,
    sites,
  };
}

const INSTRUMENTED = Object.fromEntries(
  Object.entries(QUEUE_SCRIPTS).map(([name, { lua }]) => [name, instrument(lua)]),
);

/** SENDs at `primary` over this connection. */
function durableOf(redis: QueueRedis): Queues['durable'] {
  const commit = (_key: string, _level: string, write: (to: QueueRedis) => unknown): unknown => write(redis);
  return { commit } as unknown as Queues['durable'];
}

/** Queues whose n-th call inside scripts fails. */
class Failing {
  /** name:site, in the order in which they were called. */
  readonly called: string[] = [];
  readonly queues: Queues;

  constructor(
    { redis, settings }: TestQueues,
    private readonly raw: Redis,
    private readonly failsAt: number,
  ) {
    const failing = new Proxy(redis, {
      get: (target, name: string) => {
        if (name in INSTRUMENTED) return (...args: (string | number)[]) => this.#run(name, args);
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
      },
    });
    this.queues = {
      redis: failing,
      durable: durableOf(failing),
      settings,
      lengths: new QueueLengths(),
      sizes: new MessageSizes(),
      used: new UsedAddresses(),
      shares: new Shares(settings),
      turns: new Turns(() => ''),
      sweeps: new Sweeps(),
      light: new LightTurns(() => ''),
      observer: undefined,
    };
  }

  async #run(name: string, args: (string | number)[]): Promise<unknown> {
    const { lua } = INSTRUMENTED[name]!;
    const { numberOfKeys } = QUEUE_SCRIPTS[name as keyof typeof QUEUE_SCRIPTS];
    const failsAt = this.failsAt - this.called.length;
    // one script under two names
    const script = name.replace('Remembering', '');
    const note = (sites: string): unknown => this.called.push(...sites.split(' ').map((site) => `${script}:${site}`));
    try {
      const [result, sites] = (await this.raw.eval(lua, numberOfKeys, ...args, failsAt)) as [unknown, string];
      note(sites);
      return result;
    } catch (error) {
      const [message, sites] = (error as Error).message.split(' CALLED ');
      (error as Error).message = message!;
      note(sites!);
      throw error;
    }
  }
}

interface Sent {
  id: number;
  dedup?: boolean;
  delayMs?: number;
  ttlMs?: number;
}

/** What a request may do to messages. */
interface Request {
  name: string;
  /** In this state instead of the full one. */
  state?: string;
  ask(queues: Queues, address: number): Promise<unknown>;
  /** Messages that it may end. */
  mayEnd?: number[];
  /** Leases that it may end. */
  mayGiveBack?: number[];
  /** The message that it sends. */
  sends?: Sent;
}

const payloadOf = (id: number): string => `"payload ${id}"`;
const add = (queues: Queues, address: number, { id, dedup = false, delayMs, ttlMs }: Sent): Promise<void> => {
  const message = { saddr: 1, id, payload: payloadOf(id), traceparent: id % 2 ? undefined : TRACE };
  return send(queues, address, message, { durability: 'primary', dedup, delayMs, ttlMs });
};

/** In every state of docs/lifecycle.md, with dedup (from 50 on) and without. */
const LEASED = [3, 53];
const ENDED = [4, 5, 54, 55];
const DYING = [7, 57];
const EXPIRED = [8, 58];
const DEAD = [9, 59];
const FREED = [60];
/** In the states of an attempt: what it has taken. */
const TAKEN = [4, 5, 54, 55];
/** state → more leases that have not ended */
const ALSO_LEASED: Record<string, number[]> = {
  attempt: TAKEN,
  'asked twice': TAKEN,
  'last of attempt': [55],
  'old attempt': TAKEN,
  'attempt of the future': TAKEN,
};
/** More than the repair checks in one call. */
const MANY = Array.from({ length: 110 }, (_, i) => 200 + i);
const LIVE = [1, 2, 3, 4, 5, 10, 11, 12, 13, 51, 53, 54, 55, 61, 62, 63];

/** Makes the full state at `address`. */
async function fill(queues: TestQueues, address: number): Promise<void> {
  const { raw, prefix } = queues;
  const key = (name: string): string => `${prefix}:{${address}}:${name}`;
  const score = async (name: string, id: number, to: number): Promise<void> => {
    const entries = await raw.xrange(key('queue'), '-', '+');
    const [ms, sequence] = entries.find(([, fields]) => fields[3] === String(id))![0].split('-');
    const entry = `${ms}-${sequence!.padStart(10, '0')}`;
    const member = (await raw.zrange(key(name), '0', '-1')).find((each) => each.startsWith(entry));
    await raw.zadd(key(name), to, member!);
  };
  const taken = async (...ids: number[]): Promise<void> => {
    for (const id of ids) await add(queues, address, { id, dedup: id >= 50 });
    await recv(queues, address, { max: ids.length, visibilityTimeoutMs: HOUR_MS });
  };
  await taken(...DEAD, ...FREED);
  await freeMany(queues, address, FREED);
  const die = async (ids: number[]): Promise<void> => {
    for (const [entry, fields] of await raw.xrange(key('queue'), '-', '+'))
      if (ids.includes(Number(fields[3])))
        await raw.call('XCLAIM', key('queue'), 'receivers', 'aizumi', 0, entry, 'RETRYCOUNT', MAX_DELIVERIES, 'JUSTID');
  };
  await die(DEAD);
  for (const id of DEAD) await score('leases', id, 1);
  while ((await recv(queues, address)).againMs === 0);
  await taken(...LEASED, ...ENDED, ...DYING, 10, 11, 61, 62);
  for (const id of [5, 55]) await back(queues, address, id);
  for (const id of [10, 11, 61, 62]) await back(queues, address, id, { delayMs: HOUR_MS });
  await die(DYING);
  for (const id of [4, 54, ...DYING]) await score('leases', id, 1);
  for (const id of [10, 61]) await score('backed', id, 1);
  for (const id of [1, 2, 51, ...EXPIRED])
    await add(queues, address, { id, dedup: id >= 50, ...(EXPIRED.includes(id) && { ttlMs: 1 }) });
  for (const id of [12, 13, 63])
    await add(queues, address, { id, dedup: id >= 50, delayMs: HOUR_MS, ttlMs: 2 * HOUR_MS });
  const delayed = await raw.zrange(key('delayed'), '0', '-1');
  for (const id of [12, 63])
    await raw.zadd(
      key('delayed'),
      1,
      delayed.find((member) => member.includes(`:1:${id}:`))!,
    );
  await raw.hset(key('settings'), 'max_deliveries', MAX_DELIVERIES);
  const now = await redisMs(queues);
  while ((await redisMs(queues)) <= now + 1);
}

const REQUESTS: Request[] = [
  { name: 'SEND', ask: (q, a) => add(q, a, { id: 100 }), sends: { id: 100 } },
  { name: 'SEND to a new queue', state: 'none', ask: (q, a) => add(q, a, { id: 100 }), sends: { id: 100 } },
  { name: 'SEND, ids ahead of the clock', state: 'ahead', ask: (q, a) => add(q, a, { id: 100 }), sends: { id: 100 } },
  ...[true, false].map((dedup): Request => {
    const sends = { id: 100, dedup };
    return { name: 'SEND, what has expired must go', state: 'crowded', ask: (q, a) => add(q, a, sends), sends };
  }),
  ...[true, false].flatMap((dedup): Request[] =>
    [0, HOUR_MS].map((delayMs) => {
      const sends = { id: 100, dedup, delayMs, ttlMs: 2 * HOUR_MS };
      return { name: `SEND ${JSON.stringify(sends)}`, ask: (q, a) => add(q, a, sends), sends };
    }),
  ),
  ...[true, false].flatMap((dedup): Request[] =>
    ['none', 'miscounted'].map((state) => {
      const sends = { id: 100, dedup, delayMs: HOUR_MS };
      return { name: `SEND ${JSON.stringify(sends)}`, state, ask: (q, a) => add(q, a, sends), sends };
    }),
  ),
  { name: 'RECV of the last delayed one', state: 'one due', ask: (q, a) => recv(q, a) },
  { name: 'DROP of the last delayed one', state: 'one delayed', ask: (q, a) => purge(q, a, 'delayed') },
  ...['none', 'ahead'].map((state): Request => {
    const sends = { id: 100, dedup: true };
    return { name: `SEND with dedup`, state, ask: (q, a) => add(q, a, sends), sends };
  }),
  ...[51, 53, 60, 61, 63].map((id): Request => ({
    name: `SEND again of ${id}`,
    ask: (q, a) => add(q, a, { id, dedup: true }),
  })),
  ...[1, 7, 1_000].map((max): Request => ({
    name: `RECV of ${max}`,
    ask: (q, a) => recv(q, a, { max, visibilityTimeoutMs: HOUR_MS, attemptId: 'a' }),
  })),
  ...['attempt', 'attempt over'].map((state): Request => ({
    name: 'RECV again with its attempt_id',
    state,
    ask: (q, a) => recv(q, a, { max: 4, visibilityTimeoutMs: HOUR_MS, attemptId: 'a' }),
  })),
  ...[1, 1_000].map((max): Request => ({
    name: `RECV of ${max} with another attempt_id`,
    state: 'attempt over',
    ask: (q, a) => recv(q, a, { max, visibilityTimeoutMs: HOUR_MS, attemptId: 'b' }),
  })),
  ...['a', 'b'].flatMap((attemptId): Request[] =>
    ['old attempt', 'attempt of the future'].map((state) => ({
      name: `RECV with attempt_id ${attemptId}`,
      state,
      ask: (q, a) => recv(q, a, { max: 3, visibilityTimeoutMs: HOUR_MS, attemptId }),
    })),
  ),
  { name: 'RECV of 4', state: 'long', ask: (q, a) => recv(q, a, { max: 4, visibilityTimeoutMs: HOUR_MS }) },
  {
    name: 'RECV of 1, that is long, a new one and one that comes back',
    state: 'long',
    async ask(q, a) {
      for (const visibilityTimeoutMs of [HOUR_MS, 0, 0])
        await recv({ ...q, sizes: new MessageSizes() }, a, { visibilityTimeoutMs });
    },
  },
  {
    name: 'FREE of one',
    state: 'attempt',
    ask: (q, a) => free(q, a, 54),
    mayEnd: [54],
  },
  { name: 'FREE of several', state: 'attempt', ask: (q, a) => freeMany(q, a, TAKEN), mayEnd: TAKEN },
  {
    name: 'FREE of one by receipt',
    state: 'last of attempt',
    ask: async (q, a) => free(q, a, 55, await receiptOf(q, a, 55)),
    mayEnd: TAKEN,
  },
  ...[0, HOUR_MS].flatMap((delayMs): Request[] => [
    {
      name: `BACK of one in ${delayMs} ms`,
      state: 'attempt',
      ask: (q, a) => back(q, a, 4, { delayMs }),
      mayGiveBack: [4],
    },
    {
      name: `BACK of one in ${delayMs} ms`,
      state: 'last of attempt',
      ask: async (q, a) => back(q, a, 55, { delayMs, counts: false, receipt: await receiptOf(q, a, 55) }),
      mayEnd: [4, 5, 54],
      mayGiveBack: [55],
    },
  ]),
  { name: 'GBYE', state: 'attempt', ask: (q, a) => gbye(q, a), mayGiveBack: [...LEASED, ...TAKEN] },
  {
    name: 'DROP waiting',
    state: 'attempt over',
    ask: (q, a) => purge(q, a, 'waiting'),
    mayEnd: [...LIVE.filter((id) => !LEASED.includes(id)), ...DYING, ...EXPIRED],
  },
  {
    name: 'a reply without attempt_id is not written',
    ask: async (q, a) => giveBack(q, a, await deliveriesOf(q, a, LEASED)),
    mayGiveBack: LEASED,
  },
  {
    name: 'a reply is not written, nobody else asked',
    state: 'attempt',
    ask: async (q, a) => giveBack(q, a, await deliveriesOf(q, a, TAKEN), 'a'),
    mayGiveBack: TAKEN,
  },
  {
    name: 'a reply is not written, somebody else asked',
    state: 'asked twice',
    ask: async (q, a) => giveBack(q, a, await deliveriesOf(q, a, TAKEN), 'a'),
  },
  {
    name: 'neither of two replies is written',
    state: 'asked twice',
    async ask(q, a) {
      const deliveries = await deliveriesOf(q, a, TAKEN);
      await giveBack(q, a, deliveries, 'a');
      await giveBack(q, a, deliveries, 'a');
    },
    mayGiveBack: TAKEN,
  },
  {
    name: 'a reply is not written, the last of its messages',
    state: 'last of attempt',
    ask: async (q, a) => giveBack(q, a, await deliveriesOf(q, a, [55]), 'a'),
    mayEnd: [4, 5, 54],
    mayGiveBack: [55],
  },
  {
    name: 'FREE of several',
    state: 'old windows',
    ask: (q, a) => freeMany(q, a, [...LEASED, ...ENDED]),
    mayEnd: [...LEASED, ...ENDED],
  },
  { name: 'RECV of 7', state: 'old windows', ask: (q, a) => recv(q, a, { max: 7, visibilityTimeoutMs: HOUR_MS }) },
  {
    name: 'DROP waiting',
    state: 'old windows',
    ask: (q, a) => purge(q, a, 'waiting'),
    mayEnd: [...LIVE.filter((id) => !LEASED.includes(id)), ...DYING, ...EXPIRED],
  },
  ...['half', 'many half', 'no group', 'no stream', 'nothing but leases', 'none'].map((state): Request => ({
    name: 'RECV',
    state,
    async ask(q, a) {
      const options = { max: 100, visibilityTimeoutMs: HOUR_MS };
      for (let more = true; more;) {
        const { messages, againMs } = await recv(q, a, options);
        more = messages.length > 0 || againMs === 0;
      }
    },
    mayGiveBack: LEASED,
    // the stream was deleted by hand, and the group with all that was known of deliveries
    ...(state === 'no stream' && { mayEnd: [...LIVE, ...DEAD, ...DYING, ...EXPIRED] }),
  })),
  ...[3, 4, 53, 54].flatMap((id): Request[] => [
    { name: `FREE of ${id}`, ask: (q, a) => free(q, a, id), mayEnd: [id] },
    { name: `FREE of ${id} by receipt`, ask: async (q, a) => free(q, a, id, await receiptOf(q, a, id)), mayEnd: [id] },
    { name: `KEEP of ${id}`, ask: (q, a) => keep(q, a, id, HOUR_MS) },
    { name: `KEEP of ${id} by receipt`, ask: async (q, a) => keep(q, a, id, HOUR_MS, await receiptOf(q, a, id)) },
    ...[0, HOUR_MS].flatMap((delayMs): Request[] =>
      [true, false].map((counts) => ({
        name: `BACK of ${id} in ${delayMs} ms${counts ? '' : ', not counted'}`,
        ask: async (q, a) => back(q, a, id, { delayMs, counts, receipt: await receiptOf(q, a, id) }),
        mayGiveBack: [id],
      })),
    ),
  ]),
  { name: 'FREE of several', ask: (q, a) => freeMany(q, a, [99, ...LEASED, ...ENDED]), mayEnd: [...LEASED, ...ENDED] },
  { name: 'BACK without a receipt', ask: (q, a) => back(q, a, 3), mayGiveBack: [3] },
  { name: 'GBYE', ask: (q, a) => gbye(q, a), mayGiveBack: LEASED },
  { name: 'GBYE of an empty queue', state: 'empty', ask: (q, a) => gbye(q, a) },
  {
    name: 'GBYE of an empty queue that a client has made',
    state: 'empty',
    async ask(q, a) {
      for (let i = 0; i < 2; i++) await put(q, a, `client ${a}`);
      await gbye(q, a);
    },
  },
  { name: 'HELO', ask: (q, a) => helo(q, a, { ttl_ms: null, max_queue_length: 1_000 }) },
  { name: 'HELO', state: 'none', ask: (q, a) => helo(q, a, { max_queue_length: 1_000 }) },
  { name: 'GET /queues', ask: (q, a) => report(q, a) },
  { name: 'GET /queues, nothing received', state: 'long', ask: (q, a) => report(q, a) },
  ...STATES.map((state): Request => ({
    name: `PEEK ${state}`,
    async ask(q, a) {
      let cursor = '';
      do ({ cursor } = await peek(q, a, state, 2, cursor));
      while (cursor !== '');
    },
  })),
  { name: 'MOVE', ask: (q, a) => move(q, a, undefined, 100), mayGiveBack: [] },
  { name: 'MOVE', state: 'no stream', ask: (q, a) => move(q, a, undefined, 100), mayEnd: LIVE, mayGiveBack: LIVE },
  ...(['waiting', 'delayed', 'dead'] as const).map((state): Request => ({
    name: `DROP ${state}`,
    ask: (q, a) => purge(q, a, state),
    mayEnd: state === 'dead' ? DEAD : [...LIVE.filter((id) => !LEASED.includes(id)), ...DYING, ...EXPIRED],
  })),
];

/** Each call, from 1; of a site that is called again and again the first {@link MOST_TIMES} and the last. */
function whichToFail(called: readonly string[]): number[] {
  const times = new Map<string, number>();
  return called.flatMap((site, i) => {
    const time = (times.get(site) ?? 0) + 1;
    times.set(site, time);
    return time <= MOST_TIMES || called.lastIndexOf(site) === i ? [i + 1] : [];
  });
}

async function receiptOf({ redis, settings }: Queues, address: number, id: number): Promise<string> {
  return (await redis.zrange(`${settings.keyPrefix}:{${address}}:held`, String(id), String(id), 'BYSCORE'))[0]!;
}

/** As the RECV that took them was given them, as far as it matters for giving them back. */
async function deliveriesOf(queues: Queues, address: number, ids: readonly number[]): Promise<Delivery[]> {
  const leases = `${queues.settings.keyPrefix}:{${address}}:leases`;
  return Promise.all(
    ids.map(async (id) => {
      const receipt = await receiptOf(queues, address, id);
      const lease = `${receipt.slice(17, 41)}:${receipt.slice(0, 16)}${receipt.slice(41)}`;
      return { id, receipt, leaseUntilMs: Number(await queues.redis.zscore(leases, lease)) } as Delivery;
    }),
  );
}

/** name without prefix and address → what DUMP says of it. */
type Snapshot = Map<string, Buffer>;

describe('scripts that stop half-way', function () {
  this.timeout(300_000);
  let server: TestServer;
  let queues: TestQueues;
  /** Without the broker's time limits: a busy machine may take seconds for the many requests at once. */
  let redis: QueueRedis;
  const states = new Map<string, Snapshot>();
  const called = new Set<string>();
  let addresses = 1_000;
  const base = (address: number): string => `${queues.prefix}:{${address}}:`;

  async function save(address: number): Promise<Snapshot> {
    const names = (await queues.keys()).filter((name) => name.startsWith(`{${address}}:`));
    const dumps = await Promise.all(names.map((name) => queues.raw.dumpBuffer(`${queues.prefix}:${name}`)));
    return new Map(names.map((name, i) => [name.slice(`{${address}}:`.length), dumps[i]!]));
  }
  const restore = (snapshot: Snapshot, address: number): Promise<unknown> =>
    Promise.all([...snapshot].map(([name, dump]) => queues.raw.restore(base(address) + name, 0, dump)));

  before(async () => {
    server = await startRedisServer({ args: ['--appendonly', 'no'] });
    redis = new Redis(server.url, { scripts: QUEUE_SCRIPTS }) as unknown as QueueRedis;
    queues = await openQueues({ maxDeliveries: MAX_DELIVERIES }, server);
    queues = { ...queues, redis, durable: durableOf(redis), close: queues.close.bind(queues) };
    const make = async (name: string, change: (address: number) => Promise<unknown>, from = 'full'): Promise<void> => {
      const address = addresses++;
      await restore(states.get(from) ?? new Map(), address);
      await change(address);
      states.set(name, await save(address));
    };
    const { raw } = queues;
    await make('full', (a) => fill(queues, a));
    await make('none', () => Promise.resolve(), 'none');
    const delayOne = (a: number): Promise<unknown> => add(queues, a, { id: 13, delayMs: HOUR_MS });
    await make('one delayed', delayOne, 'none');
    await make('one due', (a) => delayOne(a).then(() => makeDue(queues, 'delayed', a)), 'none');
    await make('miscounted', (a) => raw.hset(`${base(a)}counts`, 'delayed_count', 99));
    await make('empty', (a) => helo(queues, a, { ttl_ms: HOUR_MS }), 'none');
    const attempt = (a: number) => recv(queues, a, { max: 4, visibilityTimeoutMs: HOUR_MS, attemptId: 'a' });
    await make('attempt', async (a) => expect((await attempt(a)).messages.map(({ id }) => id)).to.deep.equal(TAKEN));
    await make('asked twice', attempt, 'attempt');
    await make('last of attempt', (a) => freeMany(queues, a, [4, 5, 54]), 'attempt');
    const endAttempt = async (a: number): Promise<void> => {
      for (const member of await raw.zrange(`${base(a)}attempts`, '0', '-1'))
        if (!member.startsWith('='))
          await raw.zadd(
            `${base(a)}leases`,
            'XX',
            1,
            `${member.slice(17, 41)}:${member.slice(0, 16)}${member.slice(41)}`,
          );
    };
    await make('attempt over', endAttempt, 'attempt');
    const shiftAttempt = async (a: number, ms: number): Promise<void> => {
      const attempts = await raw.zrange(`${base(a)}attempts`, '0', '-1');
      for (const member of attempts) await raw.zincrby(`${base(a)}attempts`, ms * 1_000, member);
    };
    await make('old attempt', (a) => shiftAttempt(a, -HOUR_MS), 'attempt');
    await make('attempt of the future', (a) => shiftAttempt(a, HOUR_MS), 'attempt');
    // as a script leaves them that was stopped before it set when they expire
    await make('old windows', async (a) => {
      await raw.del(`${base(a)}ended0`, `${base(a)}ended1`);
      for (const name of ['ended0', 'ended1'])
        await raw.hset(base(a) + name, { until: String((await redisMs(queues)) - 1), '1:900': '0'.repeat(40) });
    });
    // two are read together, and the first leaves no room for the second
    await make(
      'long',
      async (a) => {
        await add(queues, a, { id: 1 });
        const payload = `"${'x'.repeat(SLICE_BYTES)}"`;
        await raw.xadd(`${base(a)}queue`, '*', 'saddr', 1, 'id', 2, 'payload', payload);
        for (const id of [14, 15]) await add(queues, a, { id });
      },
      'none',
    );
    await make('no stream', (a) => raw.del(`${base(a)}queue`));
    await make(
      'no group',
      async (a) => {
        await add(queues, a, { id: 1 });
        await raw.xgroup('DESTROY', `${base(a)}queue`, 'receivers');
      },
      'none',
    );
    const leaseMany = async (a: number): Promise<void> => {
      await Promise.all(MANY.map((id) => add(queues, a, { id })));
      await recv(queues, a, { max: MANY.length, visibilityTimeoutMs: HOUR_MS });
    };
    const many = async (a: number): Promise<unknown> =>
      leaseMany(a).then(() => raw.del(`${base(a)}leases`, `${base(a)}held`));
    await make('many half', many, 'none');
    const onlyLeases = async (a: number): Promise<void> => {
      await leaseMany(a);
      for (const member of await raw.zrange(`${base(a)}leases`, '0', '-1'))
        await raw.zadd(`${base(a)}leases`, 1, member);
      await raw.del(`${base(a)}queue`);
    };
    await make('nothing but leases', onlyLeases, 'none');
    await make('ahead', async (a) => raw.call('XSETID', `${base(a)}queue`, `${(await redisMs(queues)) + HOUR_MS}-0`));
    await make('crowded', async (a) => {
      const length = (await raw.xlen(`${base(a)}queue`)) + (await raw.zcard(`${base(a)}delayed`));
      await raw.hset(`${base(a)}settings`, 'max_queue_length', length);
    });
    // as scripts that stop half-way leave it: pending and in no index, in `held` or not; deleted and pending
    await make('half', async (a) => {
      for (const member of await raw.zrange(`${base(a)}leases`, '0', '-1'))
        if (!member.endsWith(':1')) await raw.zrem(`${base(a)}leases`, member);
      const [[entry]] = (await raw.xrange(`${base(a)}queue`, '-', '+', 'COUNT', 1)) as [[string, string[]]];
      await raw.xdel(`${base(a)}queue`, entry);
      await raw.zrem(`${base(a)}held`, await receiptOf(queues, a, halfGone));
    });
  });
  after(async () => {
    queues.close();
    redis.disconnect();
    await server.stop();
  });

  /** @returns the ids of what could be received, in the order in which it came; all leased */
  async function receiveAll(address: number): Promise<number[]> {
    const ids: number[] = [];
    for (;;) {
      const { messages, againMs } = await recv(queues, address, { max: 1_000, visibilityTimeoutMs: HOUR_MS });
      ids.push(...messages.map(({ id }) => id));
      if (messages.length === 0 && againMs !== 0) return ids;
    }
  }

  const idsOf = (entries: [string, string[]][]): number[] => entries.map(([, fields]) => Number(fields[3]));
  const sorted = (ids: Iterable<number>): number[] => [...ids].sort((a, b) => a - b);

  /** No message has two leases; each attempt has its attempt_id and receipts, and those are of deliveries that are held. */
  async function checkLeases(address: number): Promise<void> {
    const { raw } = queues;
    const leases = await raw.zrange(`${base(address)}leases`, '1', '+inf', 'BYSCORE');
    const entries = leases.map((member) => member.slice(0, 24));
    expect([...new Set(entries)], 'two leases of one message').to.deep.equal(entries);
    const attempts = await raw.zrange(`${base(address)}attempts`, '0', '-1', 'WITHSCORES');
    const numbers = { heads: [] as number[], receipts: new Set<number>() };
    for (let i = 0; i < attempts.length; i += 2) {
      const [member, score] = [attempts[i]!, Number(attempts[i + 1])];
      if (member.startsWith('=')) numbers.heads.push(score - (score % 1_000));
      else numbers.receipts.add(score);
      if (!member.startsWith('='))
        expect(await raw.zscore(`${base(address)}held`, member), 'an attempt has what is not held').not.to.equal(null);
    }
    expect(sorted(numbers.heads), 'attempts').to.deep.equal(sorted(numbers.receipts));
  }

  async function check(request: Request, address: number, before: Snapshot): Promise<void> {
    const { raw } = queues;
    const key = (name: string): string => base(address) + name;
    const { mayEnd = [], mayGiveBack = [], sends, state = 'full' } = request;
    await checkLeases(address);
    // repeated, as its sender does who does not know
    if (sends?.dedup) await add(queues, address, sends);
    // no live lease is broken, and nothing is leased twice
    const first = await receiveAll(address);
    expect(sorted(new Set(first)), 'leased twice').to.deep.equal(sorted(first));
    for (const id of [...LEASED, ...(ALSO_LEASED[state] ?? [])])
      if (!mayGiveBack.includes(id)) expect(first, 'leased to another').not.to.include(id);
    await checkLeases(address);
    // who asks again with the attempt_id is told of nothing that is another's
    const again = (await recv(queues, address, { attemptId: 'a' })).messages.map(({ id }) => id);
    for (const id of again) expect(first, 'told of what another has').not.to.include(id);
    // whatever has a time falls due: everything is there
    for (const name of ['leases', 'delayed', 'backed'])
      for (const member of await raw.zrange(key(name), '0', '-1')) await raw.zadd(key(name), 'XX', 1, member);
    const found = await receiveAll(address);
    expect(sorted(new Set(found)), 'doubled').to.deep.equal(sorted(found));
    // all is another's now: nothing of an attempt is left, and who asks again is told of nothing
    expect(await raw.zrange(key('attempts'), '0', '-1'), 'left of an attempt').to.deep.equal([]);
    expect((await recv(queues, address, { attemptId: 'a', max: 1_000 })).messages, 'told').to.deep.equal([]);
    const dead = idsOf(await raw.xrange(key('dead'), '-', '+'));
    expect(sorted(new Set(dead)), 'dead twice').to.deep.equal(sorted(dead));
    const isFilled = before.has('seen');
    const live = isFilled ? LIVE.filter((id) => !mayEnd.includes(id)) : [...(others[state] ?? [])];
    if (sends?.dedup) live.push(sends.id);
    if (state === 'half') live.splice(0, live.length, ...live.filter((id) => id !== halfGone));
    expect(found).to.include.members(live);
    if (isFilled) {
      const ends = [...DEAD, ...DYING].filter((id) => !mayEnd.includes(id));
      const other = request.name === 'MOVE' ? found : [];
      expect([...dead, ...other]).to.include.members(state.startsWith('no ') ? [] : ends);
      expect(found, 'delivered although its time was over').not.to.include.members(EXPIRED);
      if (request.name === 'MOVE')
        for (const id of DEAD) expect(found.includes(id) && dead.includes(id), 'dead and not').to.equal(false);
    }
    // freed, nothing is left
    expect(await freeMany(queues, address, found), 'cannot be freed').to.deep.equal([]);
    expect(await receiveAll(address)).to.deep.equal([]);
    for (const name of ['leases', 'held', 'delayed', 'backed']) expect(await raw.zcard(key(name)), name).to.equal(0);
    expect(await raw.xlen(key('queue')), 'entries left').to.equal(0);
    // and what was sent with dedup stays one message
    const once =
      isFilled && state !== 'no stream'
        ? [...found, ...(state === 'old windows' ? [] : FREED), ...mayEnd].filter((id) => id >= 50 && id < 100)
        : [];
    if (sends?.dedup) once.push(sends.id);
    for (const id of once) {
      await add(queues, address, { id, dedup: true });
      expect(await raw.xlen(key('queue')), `${id} was added again`).to.equal(0);
    }
  }
  const halfGone = LEASED[0]!;
  const others: Record<string, number[]> = { 'no group': [1], 'many half': MANY, long: [1, 2, 14, 15] };

  async function failAt(request: Request, n: number): Promise<void> {
    const address = addresses++;
    const before = states.get(request.state ?? 'full')!;
    await restore(before, address);
    const intact = await save(address);
    const failing = new Failing(queues, queues.raw, n);
    const outcome = await request.ask(failing.queues, address).then(
      () => 'done',
      (error: unknown) => (error as { outcome?: string }).outcome ?? (error as Error).message,
    );
    for (const site of failing.called) called.add(site);
    try {
      if (outcome === 'not_done') expect(await save(address), 'not done, and changed').to.deep.equal(intact);
      await check(request, address, before);
    } catch (error) {
      (error as Error).message = `call ${n}, answered ${outcome}: ${(error as Error).message}`;
      throw error;
    }
    await queues.raw.del(
      ...(await queues.keys())
        .filter((name) => name.startsWith(`{${address}}:`))
        .map((name) => `${queues.prefix}:${name}`),
      `${queues.prefix}:queues`,
    );
  }

  for (const request of REQUESTS)
    it(`${request.name}, ${request.state ?? 'full'}`, async () => {
      // once without an error, to know the calls
      const address = addresses++;
      await restore(states.get(request.state ?? 'full')!, address);
      const well = new Failing(queues, queues.raw, 0);
      await request.ask(well.queues, address);
      for (const site of well.called) called.add(site);
      expect(well.called).not.to.deep.equal([]);
      const numbers = whichToFail(well.called);
      for (let i = 0; i < numbers.length; i += AT_ONCE)
        await Promise.all(numbers.slice(i, i + AT_ONCE).map((n) => failAt(request, n)));
    });

  it('were each stopped at each of their calls', () => {
    const all = Object.entries(INSTRUMENTED)
      // these are others' text with other flags
      .filter(([name]) => !['aizumiRecvRemembering', 'aizumiEstimate'].includes(name))
      .flatMap(([name, { sites }]) => Array.from({ length: sites }, (_, site) => `${name}:${site}`));
    const lines = (site: string): string => {
      const [name, number] = site.split(':');
      const { lua } = QUEUE_SCRIPTS[name as keyof typeof QUEUE_SCRIPTS];
      return `${name} ${[...lua.replace(/^\s*--.*$/gm, '').matchAll(/redis\.p?call\([^)]*/g)][Number(number)]?.[0]}`;
    };
    expect(all.filter((site) => !called.has(site)).map(lines)).to.deep.equal([]);
  });
});
