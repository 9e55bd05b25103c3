// API keys as the operator meets them: what keeps a broker from starting, and that keys are never logged.
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { expect } from 'chai';
import { digestOf, newKey } from '../../src/access/api-key.js';
import { ALL, bearer, keysFile } from '../support/access.js';
import type { KeysFile } from '../support/access.js';
import { endAllProcesses, spawnBroker, startBrokerProcess } from '../../harness/process.js';
import { heloRequest, recvRequest, sendRequest } from '../../harness/requests.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';

describe('a broker with API keys', function () {
  this.timeout(40_000);
  let file: KeysFile;
  let env: Record<string, string>;

  beforeEach(async () => {
    file = keysFile();
    const prefix = `t${Math.random().toString(36).slice(2)}`;
    env = { ...file.env, AIZUMI_REDIS_URL: (await sharedRedis()).url, AIZUMI_KEY_PREFIX: prefix };
  });
  afterEach(() => {
    endAllProcesses();
    file.delete();
  });

  for (const workers of ['1', '2']) {
    it(`does not start with a malformed or missing keys file, with ${workers} worker(s)`, async () => {
      file.write('keys:\n  - name: a\n    sha256: short\n    sned: [1]');
      const broken = spawnBroker({ ...env, AIZUMI_WORKERS: workers });
      expect(await broken.exited).to.equal(78);
      expect(broken.stderr).to.include(`AIZUMI_API_KEYS_FILE cannot be used (${file.path}):\n`);
      expect(broken.stderr)
        .to.match(/^keys\[0\]\.sha256 must be /m)
        .and.to.match(/^keys\[0\]\.sned is not a field here$/m);

      const missing = spawnBroker({ ...env, AIZUMI_WORKERS: workers, AIZUMI_API_KEYS_FILE: `${file.path}x` });
      expect(await missing.exited).to.equal(78);
      expect(missing.stderr).to.include('AIZUMI_API_KEYS_FILE').and.to.include('ENOENT');
      for (const { output } of [broken, missing]) expect(output).not.to.match(/^\s+at .*:\d+:\d+/m);
    });

    it(`never shows a key in its log or in the process list, with ${workers} worker(s)`, async () => {
      const good = file.add(ALL, { name: 'the-client' });
      const [poor, expired] = [file.add({}), file.add(ALL, { expires: '2020-01-31' })];
      const unknown = `${good}x`;
      const broker = await startBrokerProcess({ ...env, AIZUMI_WORKERS: workers, AIZUMI_LOG_LEVEL: 'trace' });
      for (const key of [good, poor, expired, unknown]) {
        await broker.post(sendRequest(100, 1), bearer(key));
        await broker.post([recvRequest(100), recvRequest(101)], bearer(key));
        await broker.post(key, bearer(key));
        await broker.post({ ...heloRequest(1), [key]: 1 }, { 'content-type': 'application/json', authorization: key });
      }
      // a key in place of its digest, and a key outside of any entry
      file.write(`keys:\n  - name: a\n    sha256: ${good}\n`);
      await until('all workers log it', () => broker.lines('cannot be used').length >= Number(workers), 10_000);
      file.write(`keys:\n  - ${good}: [*${good}`);
      await until(
        'all workers log it again',
        () => broker.lines('cannot be used').length >= 2 * Number(workers),
        10_000,
      );
      const processes = execFileSync('ps', ['-A', '-o', 'command='], { encoding: 'utf8' });
      expect((await broker.post(heloRequest(1), bearer(good))).status, 'what it said before is in force').to.equal(200);
      expect(await broker.stop()).to.equal(0);
      for (const key of [good, poor, expired, unknown]) {
        // without the prefix of all keys, by which the log masks them
        expect(broker.output).not.to.include(key.slice(7));
        expect(processes).not.to.include(key.slice(7));
      }
    });
  }

  it('warns once about a keys file that every user of the machine may read or write', async () => {
    file.add(ALL);
    const warnings = async (mode: number): Promise<string[]> => {
      chmodSync(file.path, mode);
      const broker = await startBrokerProcess({ ...env, AIZUMI_WORKERS: '2' });
      await broker.stop();
      return broker.lines('every user of this machine may').map(({ msg }) => /may (\w+)/.exec(msg)![1]!);
    };
    expect(await warnings(0o640)).to.deep.equal([]);
    expect(await warnings(0o644)).to.deep.equal(['read']);
    expect(await warnings(0o662)).to.deep.equal(['write']);
  });

  it('keeps the old keys while the file is truncated', async () => {
    const key = newKey();
    const text = `keys:\n  - name: a\n    sha256: ${digestOf(key)}\n    send: ["*"]\n    to: [1]\n`;
    file.write(`${text}...\n`);
    const broker = await startBrokerProcess(env);
    const status = async (): Promise<number> => (await broker.post(sendRequest(2, 1), bearer(key))).status;
    expect(await status()).to.equal(403);
    file.write(text.replace('    to: [1]\n', ''));
    await until('the broker logs it', () => broker.lines('its last line must be ...').length > 0, 10_000);
    expect(await status()).to.equal(403);
    await broker.stop();
    const anew = spawnBroker(env);
    expect(await anew.exited).to.equal(78);
    expect(anew.stderr).to.include('its last line must be ...');
  });

  it('refuses, in every worker, a key revoked with npm run key, and only that one', async () => {
    const revoked = newKey();
    const other = newKey();
    const entries = [revoked, other].map(
      (key, i) => `  - name: client-${i}\n    sha256: ${digestOf(key)}\n    send: [1]\n`,
    );
    file.write(`keys:\n${entries.join('')}...\n`);
    const broker = await startBrokerProcess({ ...env, AIZUMI_WORKERS: '2' });
    const status = async (key: string): Promise<number> => (await broker.post(sendRequest(2, 1), bearer(key))).status;
    expect([await status(revoked), await status(other)]).to.deep.equal([200, 200]);
    execFileSync(process.execPath, ['--import', 'tsx', 'src/bin/key.ts', 'revoke', 'client-0', '--file', file.path]);
    await until('both workers have read it', () => broker.lines('the new contents are in force').length === 2, 3_000);
    for (let n = 0; n < 8; n++) expect([await status(revoked), await status(other)]).to.deep.equal([401, 200]);
  });

  it('listens on all interfaces only with keys, or if anonymous access is explicitly allowed', async () => {
    const { AIZUMI_API_KEYS_FILE: path, ...without } = env;
    const refused = spawnBroker({ ...without, AIZUMI_HOST: '0.0.0.0' });
    expect(await refused.exited).to.equal(78);
    expect(refused.stderr).to.match(/^AIZUMI_HOST is 0\.0\.0\.0, .*AIZUMI_API_KEYS_FILE.*AIZUMI_ALLOW_ANONYMOUS=true/m);
    const key = file.add(ALL);
    for (const more of [{ AIZUMI_API_KEYS_FILE: path! }, { AIZUMI_ALLOW_ANONYMOUS: 'true' }]) {
      const broker = await startBrokerProcess({ ...without, ...more, AIZUMI_HOST: '0.0.0.0' });
      expect((await broker.post(heloRequest(1), bearer(key))).status).to.equal(200);
      await broker.stop();
    }
  });
});
