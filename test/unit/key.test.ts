// The program for keys, as a person runs it.
import { execFile } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { digestOf } from '../../src/access/api-key.js';
import { readKeys } from '../../src/access/keys-file.js';

const PROGRAM = fileURLToPath(new URL('../../src/bin/key.ts', import.meta.url));

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
    expect(stderr).to.include('send: [100, 7]').and.not.to.include(stdout.trim().slice(7));
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

  describe('list, show and revoke', () => {
    const digest = (digits: string): string => digits.repeat(64 / digits.length);
    const FILE = `# ours
keys:
  - name: billing # since 2026
    sha256: ${digest('ab')}
    send: [100]
    to: [200-299]
    expires: 2999-07-01
  # the shop
  - name: shop
    sha256: ${digest('cd')}
    receive: ["*"]
    expires: 2020-01-01
  # the shop's second
  - name: shop
    sha256: ${digest('ef')}
    look: [${Array.from({ length: 40 }, (_, n) => n).join(', ')}]
  # the end
...
`;
    const text = (): string => readFileSync(at('keys.yaml'), 'utf8');
    const inFile = (...args: string[]): ReturnType<typeof make> => make(...args, '--file', at('keys.yaml'));
    beforeEach(() => writeFileSync(at('keys.yaml'), FILE, { mode: 0o640 }));

    it('list whose keys there are, what they may do and until when, without a digest', async () => {
      const { code, stdout, stderr } = await inFile('list');
      expect([code, stderr]).to.deep.equal([0, '']);
      expect(stdout.trimEnd().split('\n')).to.deep.equal([
        'NAME     SEND  TO       RECEIVE  LOOK                              ADMINISTER  EXPIRES',
        'billing  100   200-299  –        –                                 –           2999-07-01',
        'shop     –     *        *        –                                 –           2020-01-01 (expired)',
        'shop     –     *        –        0,1,2,3,4,5,6,7,8,9,10,11,12,13…  –           never',
      ]);
      const json = await inFile('list', '--json');
      expect((JSON.parse(json.stdout) as unknown[])[0]).to.deep.equal({
        name: 'billing',
        send: [100],
        to: ['200-299'],
        receive: [],
        look: [],
        administer: [],
        expires: '2999-07-01',
        expired: false,
      });
      expect(stdout + json.stdout).not.to.match(/(ab|cd|ef){4}/);
    });

    it('show one name as a whole, with what tells its keys apart', async () => {
      const { stdout } = await inFile('show', 'shop');
      expect(stdout).to.include('id          cdcdcdcd\n').and.to.include('id          efefefef\n');
      expect(stdout).to.include(',37,38,39\n').and.not.to.include('billing');
    });

    it('revoke a key, and leave comments, order, mode and all else as they are', async () => {
      expect((await inFile('revoke', 'shop', '--id', 'CDCDCDCD')).stdout).to.match(/^a key of shop revoked, 1 left: /);
      const gone = FILE.slice(FILE.indexOf('  # the shop\n'), FILE.indexOf("  # the shop's second"));
      expect(text()).to.equal(FILE.replace(gone, ''));
      expect(statSync(at('keys.yaml')).mode & 0o777).to.equal(0o640);
      expect((await inFile('revoke', 'shop')).code).to.equal(0);
      expect((await inFile('revoke', 'billing')).code).to.equal(0);
      expect(readKeys(text()).size).to.equal(0);
      expect(text())
        .to.match(/^# ours\n/)
        .and.to.match(/\n\.\.\.\n$/);
      expect(readdirSync(folder)).to.deep.equal(['keys.yaml']);
    });

    it('revoke in JSON, through a link, and all keys of a name', async () => {
      const keys = ['ab', 'cd', 'ef'].map((each, i) => ({
        name: i === 1 ? 'a' : 'b',
        sha256: digest(each),
        send: [i],
      }));
      writeFileSync(at('real.json'), JSON.stringify({ keys }), { mode: 0o664 });
      chmodSync(at('real.json'), 0o664);
      symlinkSync('real.json', at('keys.json'));
      expect((await make('revoke', 'b', '--all', '--file', at('keys.json'))).stdout).to.match(
        /^2 keys of b revoked, 0 /,
      );
      expect(JSON.parse(readFileSync(at('real.json'), 'utf8'))).to.deep.equal({ keys: [keys[1]] });
      expect(lstatSync(at('keys.json')).isSymbolicLink()).to.equal(true);
      expect(statSync(at('real.json')).mode & 0o777, 'whatever the umask').to.equal(0o664);
    });

    const refused: Record<string, [args: string[], words: RegExp]> = {
      'two keys of one name': [
        ['revoke', 'shop'],
        /^shop has 2 keys: .*--id.*--all\ncdcdcdcd: .*expired\)\nefefefef: /,
      ],
      'an ID that none has': [
        ['revoke', 'shop', '--id', 'abababab'],
        /^shop has no key with the ID abababab: give --id/,
      ],
      'a name that is nearly one': [['revoke', 'Biling'], /has no key of Biling: did you mean billing\?$/m],
      'a name that is none': [['show', 'nobody-knows'], /has no key of nobody-knows: key list shows/],
      'no name': [['revoke'], /^give one name: key revoke NAME/],
    };
    for (const [what, [args, words]] of Object.entries(refused))
      it(`refuse ${what}, and say what to do`, async () => {
        const { code, stdout, stderr } = await inFile(...args);
        expect([code, stdout, text()]).to.deep.equal([1, '', FILE]);
        expect(stderr)
          .to.match(words)
          .and.not.to.match(/^\s+at /m);
      });

    it('lose no change that another makes at the same moment', async () => {
      writeFileSync(at('keys.yaml.new'), '');
      const { code, stderr } = await inFile('revoke', 'billing');
      expect([code, text()]).to.deep.equal([1, FILE]);
      expect(stderr).to.include(`if none is under way, remove ${at('keys.yaml.new')}`);
    });

    it('know the file from AIZUMI_API_KEYS_FILE, and ask for it otherwise', async () => {
      expect((await make('list')).stderr).to.match(/^give --file FILE, or set AIZUMI_API_KEYS_FILE/);
      process.env.AIZUMI_API_KEYS_FILE = at('keys.yaml');
      try {
        expect((await make('list')).stdout).to.include('billing');
      } finally {
        delete process.env.AIZUMI_API_KEYS_FILE;
      }
    });
  });

  it('tells how it is used', async () => expect((await make()).stdout).to.match(/^usage: key /));
});
