// What the documents say in tables is what the code says.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { expect } from 'chai';
import { ACTIONS } from '../../src/access/permissions.js';
import { SETTING_NAMES, loadConfig } from '../../src/config.js';
import type { Config } from '../../src/config.js';
import { STATUS_OF } from '../../src/http/failure.js';
import { MESSAGE_TYPES } from '../../src/messages/index.js';
import * as keys from '../../src/queue/keys.js';
import { RUN_DOCUMENTS, blocksOf, shellBlocks } from '../support/documents.js';

const read = (name: string): string => readFileSync(name, 'utf8');
const written = ['README.md', ...readdirSync('docs').map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith('.md'),
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

describe('docs/protocol.md', () => {
  it('has every reason for an error with its status, and no other', () => {
    const rows = tableOf(read('docs/protocol.md'), 'status', 'reason');
    const table = rows.map(([status, reason]) => [reason, Number(status)]);
    expect(table.sort()).to.deep.equal(Object.entries(STATUS_OF).sort());
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
      const all = Object.entries(needs).map(
        ([field, action]) => `${action}${orNeeds ? ` or ${orNeeds}` : ''} of ${field}`,
      );
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
    .concat('aizumi:followed') // redis/history's, beside the queues' own
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
  it('says where every reason for an error arises', () => {
    const text = read('docs/lifecycle.md');
    expect(Object.keys(STATUS_OF).filter((reason) => !text.includes(`\`${reason}\``))).to.deep.equal([]);
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

describe('README.md', () => {
  it('has every setting with its default, and no other', () => {
    const defaults = loadConfig({});
    const documented = tableOf(read('README.md'), 'variable', 'default').map(([name = '', value = '']) => {
      if (value === '–') return [name, undefined];
      // a relative folder becomes an absolute one, a number a number: as the broker itself would read it
      return [name, loadConfig({ [name]: value })[propertyOf(name)]];
    });
    expect(documented).to.deep.equal(SETTING_NAMES.map((name) => [name, defaults[propertyOf(name)]]));
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

    it('links only to documents that there are', () => {
      const base = new URL(name, `file://${process.cwd()}/`);
      const links = [...read(name).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, link = '']) => link);
      expect(links.filter((link) => !existsSync(new URL(link, base)))).to.deep.equal([]);
    });
  });
