// Runs the shell blocks of README.md, docs/operations.md and docs/tls.md that need only this machine, as they are printed, in a
// folder that looks like a checkout. Only the port is changed.
import { rmSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { post } from '../../harness/broker.js';
import { putCheckRdb } from '../support/check-rdb.js';
import { makeCheckout, runBlock, startBlock } from '../support/documents.js';
import type { RunningBlock } from '../support/documents.js';
import { testServerProgram } from '../../harness/redis-server.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';

describe('the shell commands in the documents', function () {
  this.timeout(60_000);
  let cwd: string;
  let env: NodeJS.ProcessEnv;
  let started: RunningBlock[];
  beforeEach(() => {
    cwd = makeCheckout();
    const programs = join(cwd, 'programs');
    mkdirSync(programs);
    putCheckRdb(programs);
    const others = Object.entries(process.env).filter(([name]) => !/^(AIZUMI|npm)_/.test(name));
    env = {
      ...Object.fromEntries(others),
      PATH: `${programs}:${process.env.PATH}`,
      AIZUMI_PORT: '0',
      AIZUMI_REDIS_SERVER: testServerProgram,
    };
    started = [];
  });
  afterEach(async () => {
    await Promise.all(started.map((block) => block.stop()));
    rmSync(cwd, { recursive: true });
  });

  async function start(name: string): Promise<RunningBlock> {
    const block = await startBlock(name, { cwd, env });
    started.push(block);
    return block;
  }
  const urlOf = ({ port }: RunningBlock): string => `http://127.0.0.1:${port}/`;

  it('start a broker and run load against it', async () => {
    const broker = await start('start');
    const replace = { '127.0.0.1:8080': `127.0.0.1:${broker.port}` };
    const { code, output } = await runBlock('load', { replace, cwd, env });
    expect(code, output).to.equal(0);
    expect(output).to.match(/sent .*=.* received/);
  });

  it('take a snapshot of the embedded Redis, and restore it into an empty folder', async () => {
    const old = await start('start');
    for (const id of [1, 2]) expect((await post(urlOf(old), sendRequest(100, id))).status).to.equal(200);
    const snapshot = await runBlock('embedded-snapshot', { cwd, env });
    expect(snapshot.code, snapshot.output).to.equal(0);
    await old.stop();
    rmSync(join(cwd, 'data'), { recursive: true });

    const restored = await start('embedded-restore');
    const ids = [];
    for (let i = 0; i < 2; i++) ids.push((await post(urlOf(restored), recvRequest(100))).json.id);
    expect(ids).to.deep.equal([1, 2]);
  });

  it('make certificates, start a broker with them and send it a message', async () => {
    const made = await runBlock('certificates', { cwd, env });
    expect(made.code, made.output).to.equal(0);
    const broker = await start('tls-start');
    const replace = { 'localhost:8080': `localhost:${broker.port}` };
    const sent = await runBlock('tls-send', { replace, cwd, env: { ...env, NO_PROXY: '*' } });
    expect(sent.stdout, sent.output).to.equal('{"code":200,"status":"OK","msg_type":"MSG_SEND_ACK"}');
  });
});
