// The maker of keys, as a person runs it.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { digestOf } from '../../src/access/api-key.js';
import { readKeys } from '../../src/access/keys-file.js';

const PROGRAM = fileURLToPath(new URL('../../src/key.ts', import.meta.url));

describe('key', function () {
  this.timeout(30_000);
  let folder: string;
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'aizumi-key-'))));
  afterEach(() => rmSync(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);

  const make = (...args: string[]): Promise<{ code: unknown; stdout: string; stderr: string }> =>
    new Promise((resolve) =>
      execFile(process.execPath, ['--import', 'tsx', PROGRAM, ...args], (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, stdout, stderr }),
      ),
    );

  it('prints a key on standard output, and what belongs into the file beside it', async () => {
    const args = ['--name', 'billing', '--send', '100', '--send', '7', '--receive', '200-299, 5', '--to', '*'];
    const { code, stdout, stderr } = await make(...args, '--expires', '2999-01-31');
    expect(code).to.equal(0);
    expect(stdout).to.match(/^aizumi_[\w-]{43}\n$/);
    const access = readKeys(stderr.slice(stderr.indexOf('keys:'))).find(digestOf(stdout.trim()))!;
    expect(access.name).to.equal('billing');
    expect(access.ranges('send')).to.deep.equal([
      [7, 7],
      [100, 100],
    ]);
    expect(access.ranges('receive')).to.deep.equal([
      [5, 5],
      [200, 299],
    ]);
    expect(access.ranges('administer')).to.deep.equal([]);
    expect(stderr).to.include('send: [ 100, 7 ]').and.not.to.include(stdout.trim().slice(7));
  });

  for (const name of ['keys.yaml', 'keys.json'])
    it(`adds to ${name}, which it makes for its user alone`, async () => {
      const keys: string[] = [];
      for (const address of ['1', '2'])
        keys.push((await make('--name', 'a', '--send', address, '--file', at(name))).stdout.trim());
      const text = readFileSync(at(name), 'utf8');
      expect(keys.map((key) => readKeys(text).find(digestOf(key))?.ranges('send')[0])).to.deep.equal([
        [1, 1],
        [2, 2],
      ]);
      if (name.endsWith('json')) JSON.parse(text);
      expect(statSync(at(name)).mode & 0o777).to.equal(0o600);
      expect(readdirSync(folder)).to.deep.equal([name]);
    });

  it('leaves what is in the file as it is', async () => {
    writeFileSync(at('keys.yaml'), `# ours\nkeys:\n  - name: old # since 2026\n    sha256: ${'ab'.repeat(32)}\n...\n`, {
      mode: 0o644,
    });
    await make('--name', 'a', '--send', '1', '--file', at('keys.yaml'));
    const text = readFileSync(at('keys.yaml'), 'utf8');
    expect(text).to.include('# ours\nkeys:\n  - name: old # since 2026\n');
    expect(readKeys(text).size).to.equal(2);
    expect(statSync(at('keys.yaml')).mode & 0o777).to.equal(0o644);
  });

  it('ends what it writes, and adds to no file that may be cut short', async () => {
    const { stderr } = await make('--name', 'a', '--look', '1');
    expect(stderr).to.match(/\n\.\.\.\n+$/);
    const cut = `keys:\n  - name: old\n    sha256: ${'ab'.repeat(32)}\n`;
    writeFileSync(at('keys.yaml'), cut);
    const { code, stderr: refused } = await make('--name', 'a', '--send', '1', '--file', at('keys.yaml'));
    expect([code, readFileSync(at('keys.yaml'), 'utf8')]).to.deep.equal([1, cut]);
    expect(refused).to.include('its last line must be ...');
  });

  const wrong: Record<string, [args: string[], words: RegExp]> = {
    'no permission': [['--name', 'a'], /^give --send, --receive, --look or --administer/],
    'no name': [['--send', '1'], /name must be/],
    'a bad range': [['--name', 'a', '--send', '9-8'], /send\[0\] must be an address/],
    'a bad date': [['--name', 'a', '--send', '1', '--expires', 'soon'], /expires must be a date/],
    'an unknown option': [['--name', 'a', '--sned', '1'], /--sned/],
  };
  for (const [what, [args, words]] of Object.entries(wrong))
    it(`makes no key with ${what}, and says why`, async () => {
      const { code, stdout, stderr } = await make(...args, '--file', at('keys.yaml'));
      expect([code, stdout]).to.deep.equal([1, '']);
      expect(stderr)
        .to.match(words)
        .and.not.to.match(/^\s+at /m);
      expect(readdirSync(folder)).to.deep.equal([]);
    });

  it('does not touch a file that is broken', async () => {
    writeFileSync(at('keys.yaml'), 'keys: [');
    const { code, stdout } = await make('--name', 'a', '--send', '1', '--file', at('keys.yaml'));
    expect([code, stdout, readFileSync(at('keys.yaml'), 'utf8')]).to.deep.equal([1, '', 'keys: [']);
  });

  it('tells how it is used', async () => expect((await make()).stdout).to.match(/^usage: key /));
});
