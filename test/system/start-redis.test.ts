// deploy/start-redis.sh decides as documented in docs/operations.md. It runs with stand-ins: redis-cli returns the replies of a
// case, redis-server prints its arguments. `npm run test:compose` runs it with the real programs.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { until } from '../../harness/until.js';

interface Case {
  /** For each Sentinel the primary that it names, the epoch, and its announced address; undefined if it does not answer. */
  sentinels: ({ primary: string; epoch?: number; flags?: string; announced?: string } | undefined)[];
  /** INFO of the other nodes, by name; a node that is not listed does not answer. */
  nodes?: Record<string, string>;
  hasData: boolean;
  holdS?: number;
  /** Use the names redis-0, -1 and -2, with the addresses A, B and C in DNS, and these remembered addresses. */
  remembered?: string[];
}

const STAND_INS = {
  busybox: '#!/bin/sh\n[ "$1" = timeout ] && shift 2\n[ "$1" = busybox ] && shift\nexec "$@"\n',
  // redis-cli -h HOST -p PORT [COMMAND...]
  'redis-cli': [
    '#!/bin/sh',
    'reply() { cat "$REPLIES/$host-$port-$1-$2" 2>&1; }',
    'host=$2 port=$4',
    'shift 4',
    '[ $# -gt 0 ] && reply "$@" && exit',
    'while read -r line; do reply $line; done',
  ].join('\n'),
  'redis-server': '#!/bin/sh\necho "STARTED $*"\n',
  sleep: '#!/bin/sh\nexec /bin/sleep 0.05\n',
  nslookup:
    '#!/bin/sh\naddress=$(sed -n "s/^$1 //p" "$REPLIES/dns") && echo "Name: $1" && echo "Address: ${address:?}"\n',
};
const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const SENTINELS = ['10.0.1.1', '10.0.1.2', '10.0.1.3'];
const DNS = `redis-0 ${A}\nredis-1 ${B}\nredis-2 ${C}\n`;
/** The address of no node. */
const NOBODY = '10.9.9.9';
/** The previous addresses of the nodes. */
const [OLD_A, OLD_B, OLD_C] = ['10.0.9.1', '10.0.9.2', '10.0.9.3'];
const OLD = [`redis-0 ${OLD_A}`, `redis-1 ${OLD_B}`, `redis-2 ${OLD_C}`];
/** Remembered addresses of nodes that have swapped theirs. */
const EXCHANGED = [`redis-0 ${B}`, `redis-1 ${C}`, `redis-2 ${A}`];
const EMPTY = 'loading:0\nrole:slave\nslave_priority:0\n';
const RESTARTED = `${EMPTY}db0:keys=5\n`;
const ELECTABLE = 'loading:0\nrole:slave\nslave_priority:100\ndb0:keys=5\n';
const LOADING = 'loading:1\nrole:slave\nslave_priority:0\n';

describe('deploy/start-redis.sh', () => {
  let folder: string;
  let child: ChildProcess;
  let output: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'aizumi-start-'));
    output = '';
  });
  afterEach(() => {
    killGroup(child); // the script and its watcher
    rmSync(folder, { recursive: true });
  });

  const setDns = (text: string): void => writeFileSync(join(folder, 'dns'), text);

  function start({ sentinels, nodes = {}, hasData, holdS = 60, remembered }: Case): void {
    for (const [name, text] of Object.entries(STAND_INS)) writeFileSync(join(folder, name), text, { mode: 0o755 });
    mkdirSync(join(folder, 'data/appendonlydir'), { recursive: true });
    if (hasData) writeFileSync(join(folder, 'data/appendonlydir/appendonly.aof.manifest'), '');
    setDns(DNS);
    if (remembered !== undefined) writeFileSync(join(folder, 'data/addresses'), `${remembered.join('\n')}\n`);
    const addresses = remembered === undefined ? SENTINELS : [A, B, C];
    sentinels.forEach((word, i) => {
      if (word === undefined) return;
      const { primary, epoch = 0, flags = 'master', announced = addresses[i] } = word;
      const facts = `name\nmymaster\nflags\n${flags}\nnum-slaves\n0\nconfig-epoch\n${epoch}\n`;
      writeFileSync(join(folder, `${addresses[i]}-26379-SENTINEL-MASTER`), facts);
      writeFileSync(join(folder, `${addresses[i]}-26379-SENTINEL-CONFIG`), `announce-ip\n${announced}\n`);
      writeFileSync(join(folder, `${addresses[i]}-26379-SENTINEL-GET-MASTER-ADDR-BY-NAME`), `${primary}\n6379\n`);
    });
    const names = 'redis-0 redis-1 redis-2';
    for (const [name, info] of Object.entries(nodes)) writeFileSync(join(folder, `${name}-6379-INFO-`), info);
    child = spawn('sh', ['deploy/start-redis.sh', '--maxmemory', '1gb'], {
      env: {
        PATH: `${folder}:/usr/bin:/bin`,
        REPLIES: folder,
        DATA: join(folder, 'data'),
        ...(remembered === undefined
          ? { SELF: A, NODES: `${A} ${B} ${C}`, SENTINELS: SENTINELS.join(' ') }
          : { SELF: 'redis-0', NODES: names, SENTINELS: names }),
        HOLD_S: String(holdS),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    child.stdout!.on('data', (chunk) => (output += String(chunk)));
  }

  const started = (): Promise<string> => until('the server is started', () => /STARTED (.*)/.exec(output)?.[1], 10_000);
  const all = (primary: string): Case['sentinels'] => [{ primary }, { primary }, { primary }];

  const replicas: Record<string, Case> = {
    'Sentinels name another primary': { sentinels: all(B), hasData: true },
    'Sentinels name another primary, and the folder is empty': { sentinels: all(B), hasData: false },
    'a majority answers, and the latest fail-over chose another primary': {
      sentinels: [{ primary: A, epoch: 1 }, { primary: B, epoch: 2 }, undefined],
      hasData: true,
    },
    'most Sentinels name another primary at the same epoch': {
      sentinels: [{ primary: A }, { primary: B }, { primary: B }],
      hasData: true,
    },
    'one of the Sentinels that know the latest fail-over names an unknown address': {
      sentinels: [
        { primary: NOBODY, epoch: 2 },
        { primary: B, epoch: 2 },
        { primary: A, epoch: 1 },
      ],
      hasData: true,
    },
    'all Sentinels name the previous address of another node': {
      sentinels: [OLD_A, OLD_B, OLD_C].map((announced) => ({ primary: OLD_B, announced })),
      hasData: true,
      remembered: OLD,
    },
    'the latest fail-over is known only with a previous address': {
      sentinels: [{ primary: A, epoch: 1 }, { primary: OLD_B, epoch: 2 }, undefined],
      hasData: true,
      remembered: OLD,
    },
    'addresses were swapped, and Sentinels know the new ones': {
      sentinels: [{ primary: B }, { primary: B }, { primary: C, announced: A }],
      hasData: true,
      remembered: EXCHANGED,
    },
  };
  for (const script of ['start-redis.sh', 'start-single.sh'])
    it(`refuses a folder that has only a snapshot: ${script}`, async () => {
      mkdirSync(join(folder, 'data'));
      writeFileSync(join(folder, 'data/dump.rdb'), 'REDIS0010');
      writeFileSync(join(folder, 'redis-server'), STAND_INS['redis-server'], { mode: 0o755 });
      child = spawn('sh', [`deploy/${script}`], {
        env: { PATH: `${folder}:/usr/bin:/bin`, DATA: join(folder, 'data'), SELF: A, NODES: A, SENTINELS: '' },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      });
      for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (output += String(chunk)));
      const ended = (): boolean => child.exitCode !== null;
      await until('the script has ended', ended, 10_000);
      expect(child.exitCode, output).to.equal(1);
      expect(output).to.include('dump.rdb, and no append-only file').and.not.to.include('STARTED');
    });

  for (const [when, facts] of Object.entries(replicas))
    it(`starts a replica that may not be elected if ${when}`, async () => {
      start(facts);
      expect(await started()).to.match(
        /--include \/etc\/aizumi\/replicated.conf .*--maxmemory 1gb --replicaof 10.0.0.2 6379 --replica-priority 0$/,
      );
    });

  const primaries: Record<string, Case> = {
    'it is the first start': { sentinels: all(A), nodes: { [B]: EMPTY, [C]: EMPTY }, hasData: false },
    'all nodes were restarted, and it was the last primary': {
      sentinels: all(A),
      nodes: { [B]: RESTARTED, [C]: RESTARTED },
      hasData: true,
    },
    'Sentinels name its previous address': {
      sentinels: [{ primary: OLD_A, announced: OLD_A }, { primary: OLD_A, announced: OLD_B }, undefined],
      nodes: { [B]: RESTARTED, [C]: RESTARTED },
      hasData: true,
      remembered: OLD,
    },
    'no fail-over has started in time': { sentinels: all(A), nodes: { [B]: ELECTABLE }, hasData: true, holdS: 2 },
  };
  for (const [when, facts] of Object.entries(primaries))
    it(`starts the primary if ${when}`, async () => {
      start(facts);
      expect(await started()).not.to.include('--replicaof');
    });

  const waits: Record<string, [Case, RegExp]> = {
    'most Sentinels do not answer': [
      { sentinels: [{ primary: B }, undefined, undefined], hasData: true },
      /1 Sentinels answer, 2 must/,
    ],
    'a Sentinel names an unknown address, and another one does not answer': [
      { sentinels: [{ primary: A }, { primary: NOBODY }, undefined], hasData: true, holdS: 0 },
      /1 Sentinels answer, 2 must; Sentinels name what is the address of no node now: 10\.9\.9\.9/,
    ],
    'all Sentinels name an unknown address': [
      { sentinels: all(NOBODY), hasData: true, holdS: 0 },
      /0 Sentinels answer, 2 must; Sentinels name what is the address of no node now/,
    ],
    'the Sentinel that knows the latest fail-over names an unknown address': [
      {
        sentinels: [
          { primary: A, epoch: 1 },
          { primary: A, epoch: 1 },
          { primary: NOBODY, epoch: 2 },
        ],
        hasData: true,
      },
      /2 Sentinels answer, 2 must; Sentinels name what is the address of no node now/,
    ],
    'Sentinels disagree without a majority': [
      { sentinels: [{ primary: C, epoch: 3 }, { primary: B, epoch: 3 }, undefined], hasData: true },
      /Sentinels disagree about the last fail-over: 10\.0\.0\.[23] 10\.0\.0\.[23]/,
    ],
    'a replica may be elected': [
      { sentinels: all(A), nodes: { [B]: ELECTABLE, [C]: RESTARTED }, hasData: true },
      /1 nodes may be elected, 0 do not answer/,
    ],
    'a node does not answer': [
      { sentinels: all(A), nodes: { [B]: RESTARTED }, hasData: true },
      /0 nodes may be elected, 1 do not/,
    ],
    'a node is still loading': [
      { sentinels: all(A), nodes: { [B]: RESTARTED, [C]: LOADING }, hasData: true },
      /0 nodes may be elected, 1 do not/,
    ],
    'a Sentinel leads a fail-over': [
      {
        sentinels: [{ primary: A, flags: 'master,o_down,failover_in_progress' }, { primary: A }, undefined],
        hasData: true,
        holdS: 0,
      },
      /a fail-over may be under way/,
    ],
    'its folder is empty, and another node holds messages': [
      { sentinels: all(A), nodes: { [B]: RESTARTED, [C]: EMPTY }, hasData: false, holdS: 0 },
      /this folder is empty; 0 nodes do not answer, 1 hold messages/,
    ],
    'its folder is empty, and a node does not answer': [
      { sentinels: all(A), nodes: { [B]: EMPTY }, hasData: false, holdS: 0 },
      /this folder is empty; 1 nodes do not answer, 0 hold messages/,
    ],
  };
  for (const [when, [facts, why]] of Object.entries(waits))
    it(`waits while ${when}, then follows the primary that Sentinels elect`, async () => {
      start(facts);
      await until('the script logs why it waits', () => why.test(output), 10_000);
      expect(output).not.to.include('STARTED');
      for (const i of [0, 1]) {
        writeFileSync(join(folder, `${SENTINELS[i]}-26379-SENTINEL-GET-MASTER-ADDR-BY-NAME`), `${C}\n6379\n`);
        writeFileSync(
          join(folder, `${SENTINELS[i]}-26379-SENTINEL-MASTER`),
          'flags\nmaster\nnum-slaves\n0\nconfig-epoch\n9\n',
        );
      }
      expect(await started()).to.include(`--replicaof ${C} 6379`);
    });

  it('waits while Sentinels use addresses that the nodes have since swapped', async () => {
    const sentinels = [{ primary: A, announced: B }, { primary: A, announced: C }, { primary: B }];
    start({ sentinels, hasData: true, remembered: EXCHANGED });
    await until(
      'the script logs why it waits',
      () => /1 Sentinels answer.*no node now: 10\.0\.0\.1/.test(output),
      10_000,
    );
    expect(output).not.to.include('STARTED');
  });

  it('stores the previous addresses below the current ones', async () => {
    start({ sentinels: all(B), hasData: true, remembered: OLD });
    await started();
    const lines = readFileSync(join(folder, 'data/addresses'), 'utf8').trim().split('\n');
    expect(lines).to.have.members([...DNS.trim().split('\n'), ...OLD]);
    expect(lines.slice(3)).to.deep.equal(OLD);
  });

  it('resolves names again while it waits', async () => {
    start({ sentinels: [{ primary: B }, undefined, undefined], hasData: true, remembered: OLD });
    await until('the script waits', () => output.includes('1 Sentinels answer'), 10_000);
    // its own address changes as well
    setDns(DNS.replace(A, '10.0.0.4').replace(C, '10.0.0.5'));
    for (const what of ['MASTER', 'CONFIG', 'GET-MASTER-ADDR-BY-NAME']) {
      const reply = readFileSync(join(folder, `${A}-26379-SENTINEL-${what}`), 'utf8');
      for (const at of ['10.0.0.4', '10.0.0.5'])
        writeFileSync(join(folder, `${at}-26379-SENTINEL-${what}`), reply.replace(A, at));
    }
    expect(await started()).to.include('--replica-announce-ip 10.0.0.4 ');
  });
});

function killGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-pid!, 'SIGKILL');
  } catch {
    // the whole group has ended already
  }
}
