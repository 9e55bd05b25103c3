import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { pino } from 'pino';
import { AccessError } from '../../src/access/credentials.js';
import { openReloadedFile } from '../../src/access/reloaded-file.js';
import type { ReloadedFile } from '../../src/access/reloaded-file.js';
import { until } from '../../harness/until.js';

const EVERY_MS = 100;

describe('a followed file', () => {
  let folder: string;
  let path: string;
  let file: ReloadedFile<string>;
  let read: string[];
  let logged: Record<string, unknown>[];

  const follow = async (): Promise<void> => {
    const log = pino({ level: 'info' }, { write: (line: string) => logged.push(JSON.parse(line)) });
    file = await openReloadedFile({
      path,
      setting: 'A_SETTING',
      everyMs: EVERY_MS,
      log,
      read(text) {
        read.push(text);
        if (text.startsWith('bad')) throw new AccessError('it is bad');
        return text;
      },
    });
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'aizumi-follow-'));
    path = join(folder, 'file');
    read = [];
    logged = [];
    writeFileSync(path, 'one');
    await follow();
  });
  afterEach(() => {
    file.stop();
    rmSync(folder, { recursive: true });
  });

  it('is read again when it changes, which is logged', async () => {
    writeFileSync(path, 'two');
    await until('the new contents are used', () => file.current === 'two');
    writeFileSync(`${path}.new`, 'six'); // of the same size
    renameSync(`${path}.new`, path);
    await until('the new contents are used', () => file.current === 'six');
    expect(logged.map(({ level, path: of }) => [level, of])).to.deep.equal([
      [30, path],
      [30, path],
    ]);
  });

  it('is not read while it is being written', async () => {
    for (let i = 0; i < 60; i++) {
      writeFileSync(path, `bad ${i}`);
      await pause(EVERY_MS / 4);
    }
    // on a busy machine, a single poll may find the file unchanged for too long
    expect(read.length).to.be.below(6);
    writeFileSync(path, 'two');
    await until('the new contents are used', () => file.current === 'two');
  });

  it('that is invalid or missing changes nothing, and is logged once', async () => {
    writeFileSync(path, 'bad');
    await until('the invalid file is logged', () => logged.length === 1);
    rmSync(path);
    await until('the missing file is logged', () => logged.length === 2);
    await pause(3 * EVERY_MS);
    expect(file.current).to.equal('one');
    expect(logged.map(({ level }) => level)).to.deep.equal([50, 50]);
    expect(logged[0]!.msg).to.match(
      /^A_SETTING cannot be used \(.*\):\nit is bad\nThe contents from before the change/,
    );
    writeFileSync(path, 'two');
    await until('the new contents are used', () => file.current === 'two');
  });

  it('must be valid at the start', async () => {
    file.stop();
    writeFileSync(path, 'bad');
    const refused = await follow().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).to.be.instanceOf(AccessError);
  });
});
