// What the documents say in tables is what the code says.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { ACTIONS } from '../../src/access/permissions.js';
import { SETTING_NAMES, loadConfig } from '../../src/config/config.js';
import type { Config } from '../../src/config/config.js';
import { REASONS } from '../../src/errors.js';
import { MESSAGE_TYPES } from '../../src/messages/table.js';
import * as keys from '../../src/queue/keys.js';
import { RUN_DOCUMENTS, blocksOf, shellBlocks } from '../support/documents.js';
import { SETTINGS } from '../../src/config/settings.js';

const read = (name: string): string => readFileSync(name, 'utf8');
const inFolder = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
const written = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...inFolder('docs'),
  ...inFolder('docs/adr'),
];

/** Where the links of a document lead in this repository: a file, and behind # a heading of it. */
function linksOf(name: string): [file: string, heading: string | undefined][] {
  const links = [...read(name).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)];
  return links.map(([, path = '', heading]) => [path === '' ? name : join(dirname(name), path), heading]);
}

/** The headings of a document as GitHub names them in links. */
const headingsOf = (name: string): string[] =>
  [...read(name).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );

/** Cells of the first table whose head starts with these columns, backquotes taken off; one array for each row. */
function tableOf(text: string, ...columns: string[]): string[][] {
  const lines = text.split('\n');
  const head = lines.findIndex((line) => line.startsWith(`| ${columns.join(' | ')} |`));
  if (head < 0) throw new Error(`there is no table with the columns ${columns.join(', ')}`);
  const rows = lines.slice(head + 2);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(0, end < 0 ? undefined : end).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replace(/^`(.*)`$/, '$1')),
  );
}

/** Links become their words. */
const withoutLinks = <T>(value: T): T =>
  JSON.parse(JSON.stringify(value).replace(/\[([^[\]]*)\]\([^()]*\)/g, '$1')) as T;

describe('docs/protocol.md', () => {
  it('has every reason for an error with its status, meaning and what to do, and no other', () => {
    const rows = tableOf(read('docs/protocol.md'), 'status', 'reason', 'when', 'what to do');
    const table = rows.map(([status, reason, meaning, retry]) => [reason, { status: Number(status), meaning, retry }]);
    const expected = Object.entries(REASONS).map(([reason, { status, meaning, retry }]) => [
      reason,
      { status, meaning, retry },
    ]);
    expect(Object.fromEntries(withoutLinks(table))).to.deep.equal(Object.fromEntries(expected));
  });

  it('has every message type with its number and its reply, and no other', () => {
    const rows = tableOf(read('docs/protocol.md'), 'request', 'number', 'reply');
    const table = rows.map(([request, number, reply]) => ({ request, number: Number(number), reply }));
    expect(table).to.deep.equal(MESSAGE_TYPES.map(({ request, number, reply }) => ({ request, number, reply })));
  });
});

describe('docs/security.md', () => {
  it('says what every message type needs', () => {
    const rows = tableOf(read('docs/security.md'), 'request', 'needs');
    const needs = MESSAGE_TYPES.map(({ request, needs, orNeeds }) => {
      const all = Object.entries(needs)
        .filter(([, action]) => action)
        .map(([field, action]) => `${action}${orNeeds ? ` or ${orNeeds}` : ''} of ${field}`);
      return [request, all.join(', ') || '–'];
    });
    expect(rows.map(([request, cell = '']) => [request, cell.replaceAll('`', '')])).to.deep.equal(needs);
  });

  it('explains every permission', () => {
    const rows = tableOf(read('docs/security.md'), 'permission', 'allows');
    expect(rows.map(([permission]) => permission)).to.deep.equal([...ACTIONS]);
  });
});

describe('docs/data-model.md', () => {
  const names = Object.values(keys)
    .map((make) => make('aizumi', 100))
    .concat('aizumi:followed', 'aizumi:format') // of src/redis, beside the queues' own
    .sort();

  it('has every key, and no other', () => {
    const rows = tableOf(read('docs/data-model.md'), 'key', 'type');
    expect(rows.map(([key]) => key).sort()).to.deep.equal(names);
  });

  it('speaks of no other key anywhere', () => {
    // with an attempt_id behind it `attempt` is still the same key
    const mentioned = (read('docs/data-model.md').match(/aizumi:[\w{}:]+/g) ?? []).map((name) =>
      name.replace(/:\d+$/, ''),
    );
    expect(names).to.include.members(mentioned);
  });
});

describe('docs/tls.md', () => {
  it('gives the user that aizumi needs the rights that docker compose gives it', () => {
    const [, rights] = /^user aizumi on >change-me (.*)$/m.exec(read('docs/tls.md')) ?? [];
    // config|get would show it the password of the nodes
    expect(read('deploy/aizumi.acl')).to.equal(rights!.replace(' +config|get', '\n'));
  });
});

describe('docs/lifecycle.md', () => {
  it('has the files that raise each error, and no others', () => {
    const raising = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({ name: `src/${name}`, code: read(`src/${name}`) }))
      .filter(({ code }) => code.includes('new BrokerError('));
    const filesOf = (reason: string): string[] =>
      raising
        .filter(({ name, code }) =>
          // errors.ts has the names of all; elsewhere a name that is compared with is not raised
          name === 'src/errors.ts' ? reason === 'internal' : new RegExp(`(?<![!=]== )'${reason}'`).test(code),
        )
        .map(({ name }) => name);
    const table = tableOf(read('docs/lifecycle.md'), 'reason', 'raised in').map(([reason = '', where = '']) => [
      reason,
      (where.match(/src\/[\w/-]+\.ts/g) ?? []).sort(),
    ]);
    const expected = Object.keys(REASONS).map((reason) => [reason, filesOf(reason).sort()]);
    expect(Object.fromEntries(table)).to.deep.equal(Object.fromEntries(expected));
  });
});

describe('docs/durability.md', () => {
  for (const name of ['redis.conf', 'replicated.conf'])
    it(`explains every line of ${name}`, () => {
      const lines = read(`src/redis/${name}`).split('\n');
      const directives = lines.filter((line) => line !== '' && !line.startsWith('#'));
      const text = read('docs/durability.md');
      expect(directives).not.to.be.empty;
      expect(directives.filter((directive) => !text.includes(`\`${directive}\``))).to.deep.equal([]);
    });
});

describe('docs/settings.md', () => {
  it('has every setting with its default and meaning, in the order of the table in the code, and no other', () => {
    const defaults = loadConfig({});
    const documented = tableOf(read('docs/settings.md'), 'variable', 'default', 'meaning').map(
      ([name = '', value = '', what]) => {
        // a relative folder becomes an absolute one, a number a number: as the broker itself would read it
        const read = value === '–' ? undefined : loadConfig({ [name]: value })[propertyOf(name)];
        return [name, read, what];
      },
    );
    const expected = Object.entries(SETTINGS).map(([name, { meaning }]) => {
      const variable = `AIZUMI_${name}`;
      return [variable, defaults[propertyOf(variable)], meaning];
    });
    expect(documented).to.deep.equal(expected);
  });
});

describe('what people paste', () => {
  const blocks = shellBlocks();
  const placeOf = ({ document, line }: { document: string; line: number }): string => `${document}:${line}`;

  it('is run by a test, or says why no test can', () => {
    expect(blocks.length).to.be.above(20);
    const silent = blocks.filter(({ name, notRun }) => (name === undefined) === (notRun === undefined));
    const advice = 'put `<!-- run: NAME, by test/… -->` before the block, or `(Not run by a test: …)` under it';
    expect(silent.map(placeOf), advice).to.deep.equal([]);
  });

  it('is asked for by the test that is named', () => {
    const forgotten = blocks.filter(
      ({ name, test }) => name !== undefined && !(existsSync(test!) && read(test!).includes(`'${name}'`)),
    );
    expect(forgotten.map(placeOf)).to.deep.equal([]);
    const names = blocks.flatMap(({ name }) => name ?? []);
    expect(names).to.deep.equal([...new Set(names)]);
  });

  it('names steps of npm run test:cluster that there are', () => {
    const steps = read('test/cluster/steps.ts');
    const named = blocks.flatMap(({ notRun = '' }) =>
      [...notRun.matchAll(/step\s`([\w-]+)`/g)].map(([, step]) => step!),
    );
    expect(named).to.include.members(['backup', 'hand-over']);
    expect(named.filter((step) => !new RegExp(`^  '?${step}'?: `, 'm').test(steps))).to.deep.equal([]);
  });

  it('is not hidden in a block without a language', () => {
    const unnamed = RUN_DOCUMENTS.flatMap(blocksOf).filter(({ language }) => language === '');
    expect(unnamed.map(placeOf)).to.deep.equal([]);
  });
});

/** AIZUMI_DATA_DIR → dataDir */
function propertyOf(setting: string): keyof Config {
  const words = setting.replace('AIZUMI_', '').toLowerCase();
  return words.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()) as keyof Config;
}

for (const name of written)
  describe(`${name}, as every document`, () => {
    it('names only settings that there are', () => {
      const named = (read(name).match(/AIZUMI_\w+/g) ?? []).filter((word) => !/^AIZUMI_(TEST|TOOL|LOAD)_/.test(word));
      expect(SETTING_NAMES).to.include.members(named);
    });

    it('names only files that there are', () => {
      const named = read(name).match(/\b(src|test|docs)\/[\w/.-]+\.\w+/g) ?? [];
      expect(named.filter((path) => !existsSync(path))).to.deep.equal([]);
    });

    it('links only to documents and headings that there are', () => {
      const broken = linksOf(name).filter(
        ([file, heading]) =>
          !existsSync(file) || (heading !== undefined && file.endsWith('.md') && !headingsOf(file).includes(heading)),
      );
      expect(broken).to.deep.equal([]);
    });
  });

describe('docs/adr', () => {
  const adr = (number: string): string => {
    const name = readdirSync('docs/adr').find((file) => file.startsWith(number)) ?? '';
    // a sentence may go over two lines
    return read(`docs/adr/${name}`).replace(/\s+/g, ' ');
  };

  /** The value of a constant in the source, as it stands there: a number, or a product or quotient of numbers. */
  const constant = (file: string, name: string): number => {
    const [, value] =
      new RegExp(`^(?:export )?const ${name} = ([\\d_ .*/<]+);`, 'm').exec(read(`src/${file}.ts`)) ?? [];
    if (value === undefined) throw new Error(`src/${file}.ts has no constant ${name}`);
    const [first = 0, ...rest] = value
      .replaceAll('_', '')
      .split(/ (?:\*|\/|<<) /)
      .map(Number);
    const [, operator] = / (\*|\/|<<) /.exec(value) ?? [];
    return rest.reduce((a, b) => (operator === '*' ? a * b : operator === '/' ? a / b : a << b), first);
  };

  for (const [number, file, name, words] of [
    ['0002', 'config/limits', 'FASTEST_GROWTH_PER_MS', (n: number) => `at most ${n} messages per millisecond`],
    ['0002', 'config/limits', 'FASTEST_GROWTH_PER_MS', (n: number) => `room for fewer than ${n} messages`],
    ['0002', 'config/limits', 'STALE_LENGTH_MS', (n: number) => `counts for ${n / 1e3} s`],
    ['0002', 'config/limits', 'MEASURED_PART', (n: number) => (n === 1 / 16 ? 'each sixteenth of the limit' : '?')],
    ['0002', 'config/limits', 'REGISTER_ROUND_MS', (n: number) => `the register every ${n / 1e3} s`],
    ['0005', 'redis/connect/join-writes', 'TURNS', (n: number) => `for up to ${n} turns of the event loop`],
    ['0005', 'redis/connect/join-writes', 'ENOUGH', (n: number) => `until there is ${n / 2 ** 20} MiB of it`],
    [
      '0008',
      'config/limits',
      'SLICE_MESSAGES',
      (n: number) => `a slice ([limits](../limits.md#many-messages-at-once)): ${n} messages`,
    ],
    ['0008', 'config/limits', 'SLICE_BYTES', (n: number) => `and ${n / 1024} KiB made due`],
    ['0014', 'redis/connect/watch-commands', 'TIMED', (n: number) => `One command in ${n} is timed`],
    ['0014', 'config/limits', 'TOP_QUEUES_ROUND', (n: number) => `polls ${n.toLocaleString('en-US')} and`],
    ['0014', 'config/limits', 'TOP_QUEUES_AT_ONCE', (n: number) => `${n} in a packet`],
    ['0014', 'observe/metrics/workers', 'PATIENCE_MS', (n: number) => `waits ${n / 1e3} s`],
    ['0014', 'log/repeats', 'AT_FIRST', (n: number) => `The first ${n} are written`],
    ['0014', 'log/repeats', 'REPORT_MS', (n: number) => (n === 1_000 ? 'one line a second' : '?')],
    ['0014', 'log/repeats', 'QUIET_MS', (n: number) => `after ${n / 1e3} s of silence`],
    [
      '0017',
      'redis/replication/group-commit',
      'WAIT_SHARE',
      (n: number) => `up to ${n} of AIZUMI_DURABILITY_TIMEOUT_MS`,
    ],
  ] as const)
    it(`${number} has ${name} of src/${file}.ts: “${words(constant(file, name))}”`, () =>
      expect(adr(number)).to.include(words(constant(file, name))));

  it('0004 says of every script what Redis may refuse of it', () => {
    const scripts = readdirSync('src/queue').filter((name) => name.endsWith('.lua'));
    const flagOf = (script: string): string => /^#!lua(?: flags=(.*))?\n/.exec(read(`src/queue/${script}`))?.[1] ?? '';
    const points = read('docs/adr/0004-a-full-redis-can-be-emptied.md').split('\n- ').slice(1);
    for (const [point, flag] of [
      ['**Scripts that add', ''],
      ['**Scripts that drain', 'allow-oom'],
      ['**Scripts that only read', 'no-writes'],
    ] as const) {
      const text = points.find((each) => each.startsWith(point))?.split('\n\n')[0] ?? '';
      const named = (text.match(/[\w-]+\.lua/g) ?? []).sort();
      expect(named, point).to.deep.equal(scripts.filter((script) => flagOf(script) === flag).sort());
    }
  });
});

describe('a reader', () => {
  const linked = (name: string): string[] => linksOf(name).map(([file]) => file);

  it('comes from README.md to docs/README.md, and from there to every document', () => {
    expect(linked('README.md')).to.include('docs/README.md');
    expect(linked('docs/README.md')).to.include.members(
      written.filter((name) => !name.startsWith('docs/adr/') && name !== 'docs/README.md'),
    );
    expect(linked('docs/adr/README.md')).to.include.members(
      inFolder('docs/adr').filter((name) => !name.endsWith('README.md')),
    );
  });

  for (const name of inFolder('docs/adr').filter((each) => !each.endsWith('README.md')))
    it(`sees the status and the date of ${name}, and that its index says the same`, () => {
      const [, status = '', date = ''] = /^# .*\n\nStatus: (.*)\\\nDate: (.*)\n\n/.exec(read(name)) ?? [];
      expect(status).to.match(/^(Proposed|Accepted|Superseded by )/);
      expect(date).to.match(/^\d{4}-\d\d-\d\d(, revised \d{4}-\d\d-\d\d|$)/);
      const row = read('docs/adr/README.md')
        .split('\n')
        .find((line) => line.includes(`](${name.slice('docs/adr/'.length)})`));
      expect(row)
        .to.include(`| ${status.split(/[; ]/)[0]!}`)
        .and.to.include(`| ${date.split(' (')[0]!} |`);
    });

  it('finds each term once in the glossary, in alphabetical order', () => {
    const terms = tableOf(read('docs/glossary.md'), 'term', 'meaning').map(([term = '']) => term.toLowerCase());
    expect(terms).to.deep.equal([...new Set(terms)].sort());
  });

  it('finds the functions and files in the code that docs/design.md names on the way of a request', () => {
    const [, walks = ''] = read('docs/design.md').split('## A SEND, from socket to Redis and back');
    const named = [...walks.matchAll(/`(\w+)(?:\.(\w+))?`/g)]
      .flatMap(([, ...names]) => names)
      .filter((name) => /[a-z][A-Z]|^[A-Z][a-z]/.test(name));
    const code = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => read(`src/${name}`))
      .join('\n');
    expect(named).to.include.members(['readBody', 'DurableWrites']);
    expect(named.filter((name) => !new RegExp(`\\b${name}\\b`).test(code))).to.deep.equal([]);
    const files = walks.match(/\b(http|messages|queue|redis)\/[\w/-]+/g) ?? [];
    expect(files).to.include.members(['http/server/server', 'queue/recv']);
    expect(files.filter((file) => !existsSync(`src/${file}.ts`))).to.deep.equal([]);
  });

  for (const name of [...written, '.github/pull_request_template.md'])
    it(`has no line over 100 characters in ${name}, tables, code and links excepted`, () => {
      const prose = read(name).replace(/^( *)```[^]*?^\1```$/gm, '');
      expect(prose.split('\n').filter((line) => line.length > 100 && !/^ *(\||\S+$)/.test(line))).to.deep.equal([]);
    });
});
