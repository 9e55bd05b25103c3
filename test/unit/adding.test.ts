// What is added and incomplete does not compile, and the compiler names what is missing. Here the compiler reads the sources
// with something added to them.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect } from 'chai';
import ts from 'typescript';

const NAMES = 'src/messages/message-type.ts';
const TYPES = 'src/messages/table.ts';
const DESCRIPTIONS = 'src/api-docs/descriptions.ts';
const EXAMPLES = 'src/api-docs/examples.ts';
const SETTINGS = 'src/config/settings.ts';
const ERRORS = 'src/errors.ts';
/** A message type's own file, which is not there. */
const FOO = 'src/messages/foo.ts';

/** Where something is added: behind the first match in the file. */
const IN = {
  requestNames: [NAMES, /export type RequestName =/],
  descriptions: [DESCRIPTIONS, /export const DESCRIPTIONS: .* = \{/],
  settingNames: [SETTINGS, /export interface Settings \{/],
  settings: [SETTINGS, /export const SETTINGS: .* = \{/],
  reasonNames: [ERRORS, /export type Reason =/],
  reasons: [ERRORS, /export const REASONS: .* = \{/],
} as const;

/** What is added there, a line each. */
type Additions = Partial<Record<keyof typeof IN, readonly string[]>>;

/** Each file's text with what is added to it. */
function textsWith(additions: Additions): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [place, lines] of Object.entries(additions)) {
    const [name, behind] = IN[place as keyof typeof IN];
    const text = texts.get(name) ?? readFileSync(name, 'utf8');
    expect(text, `in ${name}`).to.match(behind);
    texts.set(
      name,
      text.replace(behind, (match) => [match, ...lines].join('\n')),
    );
  }
  return texts;
}

/** Parsed once for all programs. */
const parsed = new Map<string, ts.SourceFile | undefined>();

/** What the compiler says of these files: their texts, or undefined: as they are. Each fault as `file: message`. */
function faultsOf(texts: ReadonlyMap<string, string | undefined>): string[] {
  const { config } = ts.readConfigFile('tsconfig.build.json', (name) => ts.sys.readFile(name)) as { config: object };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '.');
  const host = ts.createCompilerHost(options);
  const fromDisk = host.getSourceFile.bind(host);
  const added = new Map([...texts].map(([name, text]) => [resolve(name), text]));
  host.getSourceFile = (name, version) => {
    const text = added.get(resolve(name));
    if (text !== undefined) return ts.createSourceFile(name, text, version);
    if (!parsed.has(name)) parsed.set(name, fromDisk(name, version));
    return parsed.get(name);
  };
  const program = ts.createProgram({ rootNames: [...texts.keys()], options, host });
  return [...texts.keys()].flatMap((name) => {
    const file = program.getSourceFile(name);
    return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
      ({ messageText }) => `${name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    );
  });
}

type Parts = Readonly<Record<string, string>>;

const rowOf = (parts: Parts): string =>
  `{ ${Object.entries(parts)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ')} }`;

/** For each part the row that lacks it. */
const lacking = (parts: Parts): [part: string, row: string][] =>
  Object.keys(parts).map((part) => {
    const { [part]: _, ...rest } = parts;
    return [part, rowOf(rest)];
  });

describe('adding', function () {
  this.timeout(60_000);

  describe('a name and nothing else', () => {
    let faults: string[];
    before(() => {
      const texts = textsWith({
        requestNames: ["  | 'MSG_FOO_REQ'"],
        settingNames: ['  FOO_MS: number;'],
        reasonNames: ["  | 'foo'"],
      });
      faults = faultsOf(new Map([...texts, [TYPES, undefined], [DESCRIPTIONS, undefined], [EXAMPLES, undefined]]));
    });

    for (const [what, file, ...words] of [
      ['message type', TYPES, "'MSG_FOO_REQ' is missing", 'MessageType'],
      ['message type', DESCRIPTIONS, "'MSG_FOO_REQ' is missing", 'Description'],
      ['message type', EXAMPLES, '"MSG_FOO_REQ"', 'has an example'],
      ['setting', SETTINGS, "'FOO_MS' is missing", 'SettingsTable'],
      ['reason', ERRORS, "'foo' is missing", 'ReasonRow'],
    ] as const)
      it(`of a ${what} does not compile: ${file} names it`, () => {
        const told = faults.filter((fault) => fault.startsWith(`${file}:`));
        expect(told).to.have.length(1);
        for (const word of words) expect(told[0]).to.include(word);
      });

    it('is all that is wrong', () => expect(faults, faults.join('\n')).to.have.length(5));
  });

  describe('a row that lacks something', () => {
    const messageType = {
      number: '25',
      reply: "'MSG_FOO_ACK'",
      needs: "{ saddr: 'receive' }",
      schema: 'requestSchema()',
      handle: "() => Promise.resolve('')",
    };
    const tables = [
      {
        place: 'descriptions',
        names: 'requestNames',
        name: (part: string) => `MSG_${part.toUpperCase()}_REQ`,
        nameLine: (name: string) => `  | '${name}'`,
        type: 'Description',
        parts: { summary: "'foo'", replies: '[{}]' },
      },
      {
        place: 'settings',
        names: 'settingNames',
        name: (part: string) => `FOO_${part.toUpperCase()}`,
        nameLine: (name: string) => `  ${name}: number;`,
        type: 'NumberRow',
        parts: { default: '1', range: '[0, 1]', meaning: "'foo'" },
      },
      {
        place: 'settings',
        names: 'settingNames',
        name: (part: string) => `FOO_TEXT_${part.toUpperCase()}`,
        nameLine: (name: string) => `  ${name}: string | undefined;`,
        type: 'OtherRow',
        parts: { default: 'undefined', accepts: 'Joi.string()', meaning: "'foo'" },
      },
      {
        place: 'reasons',
        names: 'reasonNames',
        name: (part: string) => `foo_without_${part}`,
        nameLine: (name: string) => `  | '${name}'`,
        type: 'ReasonRow',
        parts: { status: '400', meaning: "'foo'", retry: "'foo'", repliesTo: '[]' },
      },
    ] as const;
    const rows = tables.flatMap(({ place, names, name, nameLine, type, parts }) =>
      lacking(parts).map(([part, row]) => ({
        file: IN[place][0],
        place,
        names,
        nameLine: nameLine(name(part)),
        line: `  ${name(part)}: ${row},`,
        says: `Property '${part}' is missing in type`,
        type: `${type}<"${name(part)}">`,
      })),
    );
    let faults: string[];
    before(() => {
      const additions: Record<string, string[]> = { requestNames: ["  | 'MSG_FOO_REQ'"] };
      for (const { place, names, nameLine, line } of rows) {
        (additions[names] ??= []).push(nameLine);
        (additions[place] ??= []).push(line);
      }
      const types = [...lacking(messageType).map(([, row]) => row), rowOf({ ...messageType, needs: '{}' })];
      const foo = [
        "import { requestSchema } from './fields.js';",
        "import type { MessageType } from './message-type.js';",
        ...types.map((row, i) => `export const foo${i} = { request: 'MSG_FOO_REQ', ...${row} } satisfies MessageType;`),
        "export const misspelt = { request: 'MSG_FOOO_REQ' } satisfies Partial<MessageType>;",
        'export const schema = requestSchema({ foo_ms: requestSchema() });',
      ];
      faults = faultsOf(new Map([...textsWith(additions), [FOO, foo.join('\n')]]));
    });

    for (const { file, says, type } of rows)
      it(`does not compile: ${says.split("'")[1] ?? ''} of ${type}`, () => {
        const told = faults.filter((fault) => fault.startsWith(`${file}: ${says}`) && fault.includes(type));
        expect(told, faults.join('\n')).to.have.length(1);
      });

    for (const part of [...Object.keys(messageType), 'saddr'])
      it(`does not compile: ${part} of a message type`, () => {
        const told = faults.filter((fault) => fault.startsWith(FOO) && fault.includes(`Property '${part}' is missing`));
        expect(told, faults.join('\n')).to.have.length(1);
      });

    for (const [what, file, words] of [
      ['a message type that is misspelt', FOO, '"MSG_FOOO_REQ"'],
      ['a field that nobody describes', FOO, "'foo_ms'"],
    ] as const)
      it(`does not compile: ${what}`, () =>
        expect(faults.filter((fault) => fault.startsWith(file) && fault.includes(words))).to.have.length(1));

    it('does not compile: a setting without a type', () => {
      const told = faultsOf(textsWith({ settings: ["  FOO_MS: { default: 1, range: [0, 1], meaning: 'foo' },"] }));
      expect(told).to.have.length(1);
      expect(told[0]).to.include("'FOO_MS'").and.to.include('SettingsTable');
    });
  });
});
