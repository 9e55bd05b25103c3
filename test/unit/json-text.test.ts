import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { BrokerError } from '../../src/errors.js';
import { isBatch, parseBatch, parseRequest } from '../../src/messages/json-text.js';

/** What parseRequest throws for `text`; fails if it throws anything but a BrokerError. */
function refusal(text: string): BrokerError | undefined {
  try {
    parseRequest(text);
    return undefined;
  } catch (error) {
    expect(error).to.be.instanceOf(BrokerError);
    return error as BrokerError;
  }
}

/** What parseBatch throws for `text`. */
function batchRefusal(text: string, most = 1000): BrokerError | undefined {
  try {
    parseBatch(text, most);
    return undefined;
  } catch (error) {
    expect(error).to.be.instanceOf(BrokerError);
    return error as BrokerError;
  }
}

const payloadOf = (text: string): string | undefined => parseRequest(text).payload;

describe('messages/json-text', () => {
  describe('the text of the payload', () => {
    const cases: [text: string, payload: string | undefined][] = [
      ['{}', undefined],
      ['{"payload":1}', '1'],
      [' { "payload" : 1.0 } ', '1.0'],
      ['{"payload":\n\t"a"\r\n,"b":1}', '"a"'],
      ['{"b":1,"payload":{"payload":2},"c":3}', '{"payload":2}'],
      ['{"b":{"payload":2}}', undefined],
      ['{"b":[{"payload":2}]}', undefined],
      ['{"b":"payload","c":1}', undefined],
      ['{"b":"\\"payload\\":1"}', undefined],
      ['{"payload":1,"payload":2}', '2'],
      ['{"payload":1,"\\u0070ayload":2}', '2'],
      ['{"\\u0070ayload":2}', '2'],
      ['{"PAYLOAD":1}', undefined],
      ['{"payload ":1}', undefined],
      ['{"payload\\u0000":1}', undefined],
      ['{"payload":"}"}', '"}"'],
      ['{"payload":"\\""}', '"\\""'],
      ['{"payload":"\\\\"}', '"\\\\"'],
      ['{"payload":"\\\\\\"","b":"\\\\"}', '"\\\\\\""'],
      ['{"a\\\\":1,"payload":2}', '2'],
      ['{"":1,"payload":""}', '""'],
      ['{"payload":[1,2,{"a":[3,4]}],"b":[5,6]}', '[1,2,{"a":[3,4]}]'],
    ];
    for (const [text, payload] of cases)
      it(`of ${text.replace(/\s+/g, ' ')} is ${payload ?? 'missing'}`, () => expect(payloadOf(text)).to.equal(payload));

    it('keeps all digits, where JSON.parse loses some', () => {
      for (const payload of ['12345678901234567890', '1e400', '-0', '1.0', '{"a":1,"a":2}', '{"2":0,"1":0}'])
        expect(payloadOf(`{"payload":${payload}}`)).to.equal(payload);
    });
  });

  describe('the fields', () => {
    it('are the same as those of JSON.parse', () =>
      expect(parseRequest('{"a":1,"b":[2],"a":3,"payload":null}').fields).to.deep.equal({
        a: 3,
        b: [2],
        payload: null,
      }));

    it('include __proto__ as an ordinary field', () => {
      const { fields } = parseRequest('{"__proto__":{"polluted":1}}');
      expect(Object.keys(fields)).to.deep.equal(['__proto__']);
      expect(Object.getPrototypeOf(fields)).to.equal(Object.prototype);
      expect(({} as Record<string, unknown>).polluted).to.equal(undefined);
    });
  });

  describe('a byte order mark', () => {
    it('at the start is refused with its own message, whatever follows', () => {
      for (const text of ['\ufeff{}', '\ufeff', '\ufeff{', '\ufeff\ufeff{}', `\ufeff${'['.repeat(100)}`])
        expect(refusal(text)).to.include({
          reason: 'invalid_json',
          message: 'the body starts with a byte order mark: send UTF-8 without it',
        });
    });

    it('between the fields is not JSON', () => {
      for (const text of [' \ufeff{}', '{\ufeff}', '{}\ufeff'])
        expect(refusal(text)?.message).to.match(/^the body is not valid JSON: \S/);
    });

    it('in a string is an ordinary character', () => expect(payloadOf('{"payload":"\ufeff"}')).to.equal('"\ufeff"'));
  });

  describe('nesting', () => {
    const nested = (levels: number): string => '{"a":'.repeat(levels - 1) + '{}' + '}'.repeat(levels - 1);

    it('may have 64 levels, including the outermost', () => expect(refusal(nested(64))).to.equal(undefined));

    it('may not have 65', () => expect(refusal(nested(65))).to.have.property('reason', 'invalid_request'));

    it('that is too deep is refused before JSON.parse, whether or not its brackets close', () => {
      for (const text of ['['.repeat(1_000_000), nested(100_000)])
        expect(refusal(text)?.message).to.equal('the body is nested deeper than 64 levels');
    });

    it('is counted down by closing brackets', () =>
      expect(refusal(`{"a":[${'[[]],{},'.repeat(1000)}0]}`)).to.equal(undefined));

    it('is not counted in strings', () =>
      expect(refusal(`{"a":"${'['.repeat(100)}\\"${'{'.repeat(100)}"}`)).to.equal(undefined));
  });

  describe('a batch', () => {
    it('is any text that begins with a bracket', () => {
      for (const text of ['[', ' [', '\r\n\t[1]']) expect(isBatch(text), text).to.equal(true);
      for (const text of ['{"a":[]}', '', ' ', '"["', '\ufeff[', '\u00a0['])
        expect(isBatch(text), text).to.equal(false);
    });

    it('may have as many requests as allowed, and not one more', () => {
      expect(parseBatch('[{},{},{}]', 3)).to.have.length(3);
      expect(batchRefusal('[{},{},{},{}]', 3)).to.include({
        reason: 'too_large',
        message: 'the batch has more than 3 requests (AIZUMI_MAX_BATCH); nothing was done',
      });
      expect(batchRefusal('[{}]', 1)).to.equal(undefined);
    });

    it('may not be empty', () => {
      for (const text of ['[]', ' [ \n] ']) expect(batchRefusal(text)?.reason, text).to.equal('invalid_request');
    });

    it('is refused as a whole if it is not JSON, with the position in the whole body', () => {
      for (const text of ['[{}', '[{},]', '[,{}]', '[{}]]', '[{}] {}', '[{}}', '[{]}', '[{} {}]', '[{}\ufeff]'])
        expect(batchRefusal(text)?.reason, text).to.equal('invalid_json');
      expect(batchRefusal('[{"a":1},{"b":2]')?.message).to.match(/position 15/);
    });

    it('has its levels of nesting counted for each request', () => {
      const nested = (levels: number): string => '{"a":'.repeat(levels - 1) + '{}' + '}'.repeat(levels - 1);
      const [fine, deep] = parseBatch(`[${nested(64)},${nested(65)}]`, 2);
      expect(fine).not.to.be.instanceOf(BrokerError);
      expect(deep).to.include({ reason: 'invalid_request', message: 'the body is nested deeper than 64 levels' });
    });

    it('keeps all digits of each payload', () => {
      const texts = ['12345678901234567890', '"],["', '{"payload":[1e400 , 2]}'];
      const requests = parseBatch(`[${texts.map((payload) => `{"payload": ${payload} }`).join(' , ')}]`, 3);
      expect(requests.map((request) => (request as { payload: string }).payload)).to.deep.equal(texts);
    });
  });

  it('takes linear time for any text', () => {
    // each of these would take minutes in quadratic time; mocha's timeout is the limit
    const n = 500_000;
    const texts = [
      `{"payload":"${'\\\\'.repeat(n)}"}`,
      `{"payload":"${'\\"'.repeat(n)}"}`,
      `{"payload":"${'\\\\\\"'.repeat(n)}"}`,
      `{${'"payload":1,'.repeat(n)}"payload":2}`,
      `{${'"p\\u0061yload":1,'.repeat(n)}"payload":2}`,
      `{"payload":${' '.repeat(n)}2${' '.repeat(n)}}`,
      `{"${'\\u0070'.repeat(n)}":1,"payload":2}`,
    ];
    for (const text of texts) expect(payloadOf(text)).to.be.a('string');
    for (const text of ['"'.repeat(n), '\\'.repeat(n), '{"a'.repeat(20) + '\\"'.repeat(n), ':'.repeat(n)])
      expect(refusal(text)).to.have.property('reason', 'invalid_json');
  });

  describe('for any text', () => {
    const whitespace = fc
      .array(fc.constantFrom(' ', '\t', '\n', '\r'), { maxLength: 3 })
      .map((parts) => parts.join(''));
    /** The text between the quotes, including escapes. */
    const inQuotes = fc
      .array(
        fc.oneof(
          fc.constantFrom('"', '\\', '/', 'b', 'f', 'n', 'r', 't').map((letter) => `\\${letter}`),
          fc.integer({ min: 0, max: 0xffff }).map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`),
          fc.constantFrom(
            '{',
            '}',
            '[',
            ']',
            ',',
            ':',
            ' ',
            'payload',
            '"payload":'.replaceAll('"', '\\"'),
            'é',
            '😀',
            '\u2028',
          ),
          fc.string({ maxLength: 5 }).map((text) => JSON.stringify(text).slice(1, -1)),
        ),
        { maxLength: 6 },
      )
      .map((parts) => parts.join(''));
    const string = inQuotes.map((text) => `"${text}"`);
    const payloadKey = fc
      .array(fc.boolean(), { minLength: 7, maxLength: 7 })
      .map((escaped) =>
        'payload'.replace(/./g, (c, i: number) =>
          escaped[i] ? `\\u00${c.charCodeAt(0).toString(16).toUpperCase()}` : c,
        ),
      )
      .map((key) => `"${key}"`);
    const key = fc.oneof(string, string, fc.constantFrom('"payload"', '"__proto__"', '"a"'), payloadKey);
    const scalar = fc.oneof(
      fc.constantFrom('null', 'true', 'false', '0', '-0', '1.0', '1e400', '-1E-7', '12345678901234567890', '""'),
      fc.integer().map(String),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => JSON.stringify(number)),
      string,
    );
    const { value } = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
      array: fc
        .array(fc.tuple(whitespace, tie('value'), whitespace), { maxLength: 4 })
        .map((items) => `[${items.map((item) => item.join('')).join(',')}]`),
      object: fc
        .array(fc.tuple(whitespace, key, whitespace, tie('value')), { maxLength: 4 })
        .map(
          (entries) =>
            `{${entries.map(([before, name, after, item]) => `${before}${name}${after}:${item}`).join(',')}}`,
        ),
      value: fc.oneof({ maxDepth: 5 }, scalar, tie('array'), tie('object')),
    }));
    const entry = fc
      .tuple(whitespace, key, whitespace, whitespace, value, whitespace)
      .map(([a, name, b, c, item, d]) => `${a}${name}${b}:${c}${item}${d}`);
    const request = fc
      .tuple(whitespace, fc.array(entry, { minLength: 1, maxLength: 6 }), whitespace)
      .map(([before, entries, after]) => `${before}{${entries.join(',')}}${after}`);

    it('finds the payload that JSON.parse finds', () => {
      fc.assert(
        fc.property(request, (text) => {
          const expected = JSON.parse(text) as Record<string, unknown>;
          const { fields, payload } = parseRequest(text);
          expect(isDeepStrictEqual(fields, expected)).to.equal(true);
          expect(payload !== undefined).to.equal(Object.hasOwn(expected, 'payload'));
          if (payload === undefined) return;
          expect(isDeepStrictEqual(JSON.parse(payload), expected.payload)).to.equal(true);
          expect(payload).to.equal(payload.trim());
          expect(text).to.include(payload);
        }),
        { numRuns: 3000 },
      );
    });

    it('finds the same in a batch as in each element alone', () => {
      const batch = fc.array(fc.oneof(request, request, value), { minLength: 1, maxLength: 5 });
      const outcome = (parse: () => unknown): unknown => {
        try {
          return parse();
        } catch (error) {
          return error;
        }
      };
      fc.assert(
        fc.property(whitespace, batch, (space, elements) => {
          const text = `${space}[${elements.join(`${space},`)}${space}]${space}`;
          expect(isBatch(text)).to.equal(true);
          const alone = elements.map((element) => outcome(() => parseRequest(element)));
          const together = parseBatch(text, 5);
          expect(together.length).to.equal(alone.length);
          together.forEach((found, i) => {
            if (found instanceof BrokerError) expect(found.message).to.equal((alone[i] as Error).message);
            else expect(isDeepStrictEqual(found, alone[i])).to.equal(true);
          });
        }),
        { numRuns: 2000 },
      );
    });

    it('accepts a text that begins like a batch if JSON.parse accepts it', () => {
      const broken = fc
        .tuple(
          fc.array(request, { minLength: 1, maxLength: 3 }),
          fc.nat(),
          fc.nat({ max: 3 }),
          fc.oneof(fc.constantFrom('"', '\\', '{', '}', '[', ']', ':', ',', '\0', '\u00a0', '\ufeff'), inQuotes),
        )
        .map(([elements, at, gone, instead]) => {
          const text = `[${elements.join(',')}]`;
          const i = 1 + (at % text.length);
          return text.slice(0, i) + instead + text.slice(i + gone);
        });
      fc.assert(
        fc.property(broken, (text) => {
          let expected: unknown[] | undefined;
          try {
            expected = JSON.parse(text) as unknown[];
          } catch {
            expected = undefined;
          }
          if (expected === undefined) expect(batchRefusal(text)?.reason).to.equal('invalid_json');
          else if (expected.length === 0) expect(batchRefusal(text)?.reason).to.equal('invalid_request');
          else expect(parseBatch(text, 1000).length).to.equal(expected.length);
        }),
        { numRuns: 3000 },
      );
    });

    it('accepts what JSON.parse accepts, and refuses the rest with an error of its own', () => {
      const broken = fc
        .tuple(
          request,
          fc.nat(),
          fc.nat({ max: 3 }),
          fc.oneof(fc.constantFrom('"', '\\', '{', '}', '[', ']', ':', ',', '\0'), inQuotes),
        )
        .map(([text, at, gone, instead]) => {
          const i = at % (text.length + 1);
          return text.slice(0, i) + instead + text.slice(i + gone);
        });
      fc.assert(
        fc.property(fc.oneof(broken, fc.json(), fc.string()), (text) => {
          let expected: unknown;
          try {
            expected = JSON.parse(text);
          } catch {
            expect(refusal(text)?.reason).to.equal('invalid_json');
            return;
          }
          const isObject = typeof expected === 'object' && expected !== null && !Array.isArray(expected);
          expect(refusal(text)?.reason).to.equal(isObject ? undefined : 'invalid_request');
        }),
        { numRuns: 3000 },
      );
    });
  });
});
