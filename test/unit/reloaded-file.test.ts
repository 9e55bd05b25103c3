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

describe('a file that is followed', () => {
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

  it('is read anew when it changes, and the log says so', async () => {
    writeFileSync(path, 'two');
    await until('it is in force', () => file.current === 'two');
    writeFileSync(`${path}.new`, 'six'); // of the same size
    renameSync(`${path}.new`, path);
    await until('it is in force', () => file.current === 'six');
    expect(logged.map(({ level, path: of }) => [level, of])).to.deep.equal([
      [30, path],
      [30, path],
    ]);
  });

  it('is not read while somebody writes it', async () => {
    for (let i = 0; i < 60; i++) {
      writeFileSync(path, `bad ${i}`);
      await pause(EVERY_MS / 4);
    }
    // in one look of many the file may have been left alone for longer than it should
    expect(read.length).to.be.below(6);
    writeFileSync(path, 'two');
    await until('it is in force', () => file.current === 'two');
  });

  it('that is bad, or gone, changes nothing, and is told once', async () => {
    writeFileSync(path, 'bad');
    await until('it is told', () => logged.length === 1);
    rmSync(path);
    await until('it is told', () => logged.length === 2);
    await pause(3 * EVERY_MS);
    expect(file.current).to.equal('one');
    expect(logged.map(({ level }) => level)).to.deep.equal([50, 50]);
    expect(logged[0]!.msg).to.match(
      /^A_SETTING cannot be used \(.*\):\nit is bad\nThe contents from before the change/,
    );
    writeFileSync(path, 'two');
    await until('it is in force', () => file.current === 'two');
  });

  it('must be good at first', async () => {
    file.stop();
    writeFileSync(path, 'bad');
    const refused = await follow().then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refused).to.be.instanceOf(AccessError);
  });
});
