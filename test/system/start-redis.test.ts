// deploy/start-redis.sh decides as docs/operations.md says. The programs that it calls are stand-ins: redis-cli gives the answers
// of a case, redis-server says what it would have started with. With real ones: npm run test:compose.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { until } from '../support/until.js';

interface Case {
  /** By Sentinel: whom it names, and the epoch; undefined: it does not answer. */
  sentinels: ({ primary: string; epoch?: number; flags?: string } | undefined)[];
  /** INFO of the others, by name; one that is not here does not answer. */
  nodes?: Record<string, string>;
  hasData: boolean;
  holdS?: number;
}

const STAND_INS = {
  busybox: '#!/bin/sh\nshift 2\nexec "$@"\n',
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
};
const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const SENTINELS = ['10.0.1.1', '10.0.1.2', '10.0.1.3'];
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
    killGroup(child); // it and its watcher
    rmSync(folder, { recursive: true });
  });

  function start({ sentinels, nodes = {}, hasData, holdS = 60 }: Case): void {
    for (const [name, text] of Object.entries(STAND_INS)) writeFileSync(join(folder, name), text, { mode: 0o755 });
    mkdirSync(join(folder, 'data/appendonlydir'), { recursive: true });
    if (hasData) writeFileSync(join(folder, 'data/appendonlydir/appendonly.aof.manifest'), '');
    sentinels.forEach((word, i) => {
      if (word === undefined) return;
      const { primary, epoch = 0, flags = 'master' } = word;
      const facts = `name\nmymaster\nflags\n${flags}\nnum-slaves\n0\nconfig-epoch\n${epoch}\n`;
      writeFileSync(join(folder, `${SENTINELS[i]}-26379-SENTINEL-MASTER`), facts);
      writeFileSync(join(folder, `${SENTINELS[i]}-26379-SENTINEL-GET-MASTER-ADDR-BY-NAME`), `${primary}\n6379\n`);
    });
    for (const [name, info] of Object.entries(nodes)) writeFileSync(join(folder, `${name}-6379-INFO-`), info);
    child = spawn('sh', ['deploy/start-redis.sh', '--maxmemory', '1gb'], {
      env: {
        PATH: `${folder}:/usr/bin:/bin`,
        REPLIES: folder,
        DATA: join(folder, 'data'),
        SELF: A,
        NODES: `${A} ${B} ${C}`,
        SENTINELS: SENTINELS.join(' '),
        HOLD_S: String(holdS),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
      detached: true,
    });
    child.stdout!.on('data', (chunk) => (output += String(chunk)));
  }

  const started = (): Promise<string> => until('it starts', () => /STARTED (.*)/.exec(output)?.[1], 10_000);
  const all = (primary: string): Case['sentinels'] => [{ primary }, { primary }, { primary }];

  const replicas: Record<string, Case> = {
    'another is named': { sentinels: all(B), hasData: true },
    'another is named, and the folder is empty': { sentinels: all(B), hasData: false },
    'most Sentinels answer, and the latest fail-over chose another': {
      sentinels: [{ primary: A, epoch: 1 }, { primary: B, epoch: 2 }, undefined],
      hasData: true,
    },
  };
  for (const [when, facts] of Object.entries(replicas))
    it(`starts a replica that may not be elected when ${when}`, async () => {
      start(facts);
      expect(await started()).to.match(
        /--include \/etc\/aizumi\/replicated.conf .*--maxmemory 1gb --replicaof 10.0.0.2 6379 --replica-priority 0$/,
      );
    });

  const primaries: Record<string, Case> = {
    'it is the first start': { sentinels: all(A), nodes: { [B]: EMPTY, [C]: EMPTY }, hasData: false },
    'all were restarted, and it was the last': {
      sentinels: all(A),
      nodes: { [B]: RESTARTED, [C]: RESTARTED },
      hasData: true,
    },
    'no fail-over came in time': { sentinels: all(A), nodes: { [B]: ELECTABLE }, hasData: true, holdS: 2 },
  };
  for (const [when, facts] of Object.entries(primaries))
    it(`starts the primary when ${when}`, async () => {
      start(facts);
      expect(await started()).not.to.include('--replicaof');
    });

  const waits: Record<string, [Case, RegExp]> = {
    'most Sentinels are away': [
      { sentinels: [{ primary: B }, undefined, undefined], hasData: true },
      /1 Sentinels answer, 2 must/,
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
    'its folder is empty, and others hold messages': [
      { sentinels: all(A), nodes: { [B]: RESTARTED, [C]: EMPTY }, hasData: false, holdS: 0 },
      /this folder is empty; 0 nodes do not answer, 1 hold messages/,
    ],
    'its folder is empty, and one does not answer': [
      { sentinels: all(A), nodes: { [B]: EMPTY }, hasData: false, holdS: 0 },
      /this folder is empty; 1 nodes do not answer, 0 hold messages/,
    ],
  };
  for (const [when, [facts, why]] of Object.entries(waits))
    it(`waits while ${when}, and follows whom the Sentinels choose`, async () => {
      start(facts);
      await until('it says what it waits for', () => why.test(output), 10_000);
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
});

function killGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-pid!, 'SIGKILL');
  } catch {
    // all of it has ended
  }
}
