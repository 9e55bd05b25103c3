import { readFileSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { expect } from 'chai';
import * as allKeys from '../../src/queue/keys.js';
import { loadLua } from '../../src/queue/lua.js';
import { QUEUE_SCRIPTS } from '../../src/queue/queues.js';
import { computedKeys } from '../support/lua-keys.js';

const folder = new URL('../../src/queue/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.lua'));
const registered = QUEUE_SCRIPTS as Record<string, { lua: string; numberOfKeys: number }>;

/** The name under which a script is registered: aizumiSend for send.lua. */
const commandOf = (file: string): string => {
  const operation = basename(file, '.lua').replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  return `aizumi${operation.charAt(0).toUpperCase()}${operation.slice(1)}`;
};

interface Input {
  /** Such as KEYS[1] or ARGV[2]. */
  name: string;
  text: string;
}

/** The comment lines at the top, and the rest without comments. */
function take(lua: string): { header: string[]; body: string } {
  const lines = lua.split('\n').slice(1);
  const end = lines.findIndex((line) => !line.startsWith('--'));
  const header = lines.slice(0, end).map((line) => line.slice(2).trim());
  return {
    header,
    body: lines
      .slice(end)
      .map((line) => line.replace(/--.*$/, ''))
      .join('\n'),
  };
}

/** `KEYS[1]  aizumi:{address}:queue  stream: messages` */
const inputsOf = (header: string[]): Input[] =>
  header.flatMap((line) => {
    const match = /^((?:KEYS|ARGV)\[\d+\])\s\s+(\S.*)$/.exec(line);
    return match ? [{ name: match[1]!, text: match[2]! }] : [];
  });

/** The bindings of `local a, b = KEYS[1], tonumber(ARGV[1])`. */
function bindingsOf(body: string): { input: string; local: string }[] {
  return [...body.matchAll(/^local ([\w, ]+) = (.*(?:KEYS|ARGV)\[\d+\].*)$/gm)].flatMap(
    ([, names = '', values = '']) => {
      const locals = names.split(/,\s*/);
      const inputs = values
        .split(/,\s*/)
        .map((value) => /^(?:tonumber\()?((?:KEYS|ARGV)\[\d+\])\)?$/.exec(value.trim())?.[1]);
      expect(inputs, `local ${names} = ${values}`).to.have.length(locals.length).and.not.include(undefined);
      return inputs.map((input, i) => ({ input: input!, local: locals[i]!.trim() }));
    },
  );
}

describe('queue/*.lua', () => {
  it('are all registered, each under the name of its file', () => {
    expect(files).not.to.deep.equal([]);
    const { aizumiRecvRemembering: remembering, aizumiEstimate: estimating, ...others } = registered;
    expect(Object.keys(others).sort()).to.deep.equal(files.map(commandOf).sort());
    // the same script without its flags
    expect(remembering!.lua.split('\n').slice(1)).to.deep.equal(others.aizumiRecv!.lua.split('\n').slice(1));
    expect(remembering!.lua).to.match(/^#!lua\n/);
    expect(estimating!.lua.split('\n').slice(1)).to.deep.equal(others.aizumiMeasure!.lua.split('\n').slice(1));
    expect(estimating!.lua).to.match(/^#!lua flags=no-writes\n/);
  });

  for (const file of files)
    describe(file, () => {
      const written = readFileSync(new URL(file, folder), 'utf8');
      const lua = loadLua(`./${file}`);
      const { header, body } = take(lua);
      const inputs = inputsOf(header);
      const keys = inputs.filter(({ name }) => name.startsWith('KEYS'));
      const names = inputs.map(({ name }) => name);

      it('is registered with the functions that it includes', () => {
        expect(registered[commandOf(file)]?.lua).to.equal(lua);
        expect(lua).not.to.include('@include');
      });

      it('includes only functions that it needs, each once', () => {
        for (const [, names = ''] of written.matchAll(/--@include [\w-]+: (.+)/g))
          for (const name of names.split(', ')) {
            expect(lua.split(`local function ${name}(`), name).to.have.length(2);
            expect(body.match(new RegExp(`\\b${name}\\b`, 'g')), `${name} is not used`).to.have.length.above(1);
          }
      });

      it('is a script of Redis 7, whose flags are declared', () => expect(lua).to.match(/^#!lua( flags=[a-z,-]+)?\n/));

      it('describes its purpose before its input', () =>
        expect(header[0])
          .to.match(/^[A-Z].*\S$/)
          .and.not.to.match(/^(KEYS|ARGV|Returns|Errors)/));

      it('is registered with the number of keys in its header', () => {
        expect(keys).not.to.deep.equal([]);
        expect(registered[commandOf(file)]?.numberOfKeys).to.equal(keys.length);
      });

      it('counts its KEYS and ARGV from 1, without gap or repetition', () => {
        const argv = inputs.length - keys.length;
        expect(names).to.deep.equal([
          ...keys.map((_, i) => `KEYS[${i + 1}]`),
          ...Array.from({ length: argv }, (_, i) => `ARGV[${i + 1}]`),
        ]);
      });

      it('uses exactly the inputs in its header', () => {
        const used = new Set(body.match(/\b(?:KEYS|ARGV)\[[^\]]*\]/g));
        expect([...used].sort()).to.deep.equal([...names].sort());
        expect(body).not.to.match(/\b(?:KEYS|ARGV)\b(?!\[)/);
      });

      it('binds each to a local of its own, once, before anything else', () => {
        const bindings = bindingsOf(body);
        expect(bindings.map(({ input }) => input).sort()).to.deep.equal([...names].sort());
        expect(body.match(/\b(?:KEYS|ARGV)\[/g)).to.have.length(names.length);
        expect(new Set(bindings.map(({ local }) => local)).size).to.equal(names.length);
        const firstOther = body
          .split('\n')
          .findIndex((line) => line.trim() !== '' && !/^local .*(KEYS|ARGV)\[/.test(line));
        expect(body.split('\n').slice(firstOther).join('\n')).not.to.match(/KEYS|ARGV/);
      });

      it('names existing keys as in the data model, and describes their contents', () => {
        const all = Object.values(allKeys).map((key) => key('aizumi', 'address' as never));
        const bindings = bindingsOf(body);
        for (const { name, text } of keys) {
          const [pattern = '', role = ''] = text.split(/\s\s+/);
          expect(all).to.include(pattern);
          expect(role).to.match(/^(stream|zset|hash|string): \S|^zset: /);
          expect(bindings.find(({ input }) => input === name)?.local).to.equal(pattern.split(':').at(-1));
        }
      });

      it('passes only its KEYS to Redis: in a slot that is being moved, any other key makes it fail half-way', () => {
        const locals = bindingsOf(body).filter(({ input }) => input.startsWith('KEYS'));
        const computed = computedKeys({ body, keys: locals.map(({ local }) => local) });
        expect(computed).to.deep.equal([]);
      });

      it('describes its returns and its errors', () => {
        for (const word of ['Returns', 'Errors']) {
          const lines = header.filter((line) => line.startsWith(word));
          expect(lines, word).to.have.length(1);
          expect(lines[0]).to.match(new RegExp(`^${word} +\\S`));
        }
      });

      it('fails with exactly the error codes in its header', () => {
        const said = header.find((line) => line.startsWith('Errors'))!.match(/\b[A-Z]+_[A-Z_]+\b/g) ?? [];
        const raised = [...body.matchAll(/error_reply\('([A-Z_]+) /g)].map(([, code]) => code);
        expect(body.match(/error_reply/g) ?? []).to.have.length(raised.length);
        expect([...new Set(raised)].sort()).to.deep.equal([...said].sort());
      });

      it("uses only Redis's clock", () => expect(body).not.to.match(/\bos\.(time|clock)\b/));
    });

  it('share functions that are all described and used', () => {
    const scripts = files.map((file) => readFileSync(new URL(file, folder), 'utf8')).join('\n');
    for (const file of readdirSync(new URL('shared/', folder))) {
      const lua = readFileSync(new URL(`shared/${file}`, folder), 'utf8');
      expect(lua, file).to.match(/^-- [A-Z]/);
      const functions = [...lua.matchAll(/^(.*)\nlocal function (\w+)\(/gm)];
      expect(functions, file).to.have.length(lua.match(/^local function /gm)!.length);
      for (const [, above, name] of functions) {
        expect(above, `${file}: ${name}`).to.match(/^-- \S/);
        expect(scripts).to.match(new RegExp(`--@include ${basename(file, '.lua')}: .*\\b${name}\\b`));
      }
    }
  });
});

describe('test/support/lua-keys', () => {
  const keys = ['queue', 'seen', 'ended'];
  const computed: [name: string, body: string, found: string[]][] = [
    ['a name that is put together', "redis.call('HGET', seen .. ':' .. bucket, field)", ["seen .. ':' .. bucket"]],
    ['a local with such a name', "local key = seen .. ':1'\nredis.call('DEL', queue, key)", ['key']],
    ['one of two', "local key = odd and queue or other\nredis.call('DEL', key)", ['key']],
    ['a name from elsewhere', "redis.pcall('XINFO', 'STREAM', cjson.decode(names)[1])", ['cjson.decode(names)[1]']],
    ['one in a loop', "for _, key in ipairs({ seen, seen .. ':1' }) do redis.call('HGET', key, 1) end", ['key']],
    ['one of a table', "local of = { a = queue, b = 'x' }\nredis.call('XLEN', of[place])", ['of[place]']],
    [
      'one that a function returns',
      "local function f()\n  return 'x', 1\nend\nlocal key = f()\nredis.call('DEL', key)",
      ['key'],
    ],
    ['an argument', "local function f(key)\n  redis.call('DEL', key)\nend\nf(queue)\nf('x')", ['key']],
    [
      'KEYS by every way',
      "local of, key = { a = queue }, x and seen or ended\nlocal t = { a = queue }\nredis.call('DEL', t[a], key)",
      [],
    ],
  ];
  for (const [name, body, found] of computed) it(name, () => expect(computedKeys({ body, keys })).to.deep.equal(found));
});
