import { expect } from 'chai';
import { digestOf, newKey } from '../../src/access/api-key.js';
import { AccessError } from '../../src/access/credentials.js';
import { readKeys } from '../../src/access/keys-file.js';
import { BrokerError } from '../../src/errors.js';

const DIGEST = 'ab'.repeat(32);

/** The faults of a file, one line each. */
function faults(text: string): string[] {
  try {
    readKeys(text);
    return [];
  } catch (error) {
    expect(error).to.be.instanceOf(AccessError);
    return (error as Error).message.split('\n');
  }
}

const withEntry = (entry: object): string => JSON.stringify({ keys: [{ name: 'a', sha256: DIGEST, ...entry }] });

describe('the file of keys', () => {
  it('finds a key by its digest, in YAML and in JSON', () => {
    const key = newKey();
    const yaml = `# ours\nkeys:\n  - name: billing\n    sha256: ${digestOf(key).toUpperCase()}\n    send: [100, 200-299]\n    receive:\n      - "*"\n...\n`;
    const json = JSON.stringify({
      keys: [{ name: 'billing', sha256: digestOf(key), send: [100, '200-299'], receive: ['*'] }],
    });
    for (const text of [yaml, json]) {
      const access = readKeys(text).find(digestOf(key))!;
      expect(access.name).to.equal('billing');
      expect(access.may('send', 250)).to.equal(true);
      expect(access.may('receive', 1)).to.equal(true);
      expect(access.may('administer', 1)).to.equal(false);
      expect(readKeys(text).find(digestOf(newKey()))).to.equal(undefined);
    }
  });

  it('distinguishes digests that begin alike', () => {
    const other = `${DIGEST.slice(0, -1)}0`;
    const keys = readKeys(
      JSON.stringify({
        keys: [
          { name: 'a', sha256: DIGEST },
          { name: 'b', sha256: other },
        ],
      }),
    );
    expect(keys.find(DIGEST)?.name).to.equal('a');
    expect(keys.find(other)?.name).to.equal('b');
    expect(keys.find(`${DIGEST.slice(0, -1)}1`)).to.equal(undefined);
  });

  it('lets a client have several keys', () => {
    const digests = [newKey(), newKey()].map(digestOf);
    const keys = readKeys(JSON.stringify({ keys: digests.map((sha256) => ({ name: 'a', sha256 })) }));
    expect(digests.map((digest) => keys.find(digest)?.name)).to.deep.equal(['a', 'a']);
  });

  it('refuses a key after its expiry', () => {
    const until = (expires: string): (() => unknown) => {
      const keys = readKeys(withEntry({ expires }));
      return () => keys.find(DIGEST);
    };
    for (const future of ['2999-12-31', '2999-12-31T10:00Z', '2999-12-31T10:00:00.5+09:00'])
      expect(until(future)(), future).not.to.equal(undefined);
    for (const past of ['2020-01-31', new Date(Date.now() - 1).toISOString()])
      expect(until(past), past).to.throw(BrokerError, /^this key expired at 20/);
  });

  describe('that is truncated', () => {
    const entry = (indent: string): string =>
      `name: billing\n${indent}sha256: ${DIGEST}\n${indent}send: [100]\n${indent}to:\n${indent}  - 200\n${indent}expires: 2027-01-01\n`;
    const whole: Record<string, string> = {
      'in lines': `# ours\nkeys:\n  - ${entry('    ')}...\n`,
      'in lines of two entries': `keys:\n- ${entry('  ')}- name: b\n  sha256: ${'cd'.repeat(32)}\n  send: [1]\n  to: []\n...\n`,
      'in lines that end as in DOS': `keys:\n  - ${entry('    ')}...\n`.replaceAll('\n', '\r\n'),
      'in JSON': JSON.stringify({
        keys: [{ name: 'a', sha256: DIGEST, send: [100], to: [200], expires: '2027-01-01' }],
      }),
      'in JSON of many lines': `${JSON.stringify({ keys: [{ name: 'a', sha256: DIGEST, send: [100], to: [200] }] }, undefined, 2)}\n`,
      'in brackets': `keys: [\n  { name: a, sha256: ${DIGEST}, send: [100], to: [200] },\n  { name: b, sha256: ${'cd'.repeat(32)} }\n]\n`,
    };
    for (const [how, text] of Object.entries(whole))
      it(`is refused wherever it was truncated, ${how}`, () => {
        expect(readKeys(text).size).to.be.greaterThan(0);
        const { length } = text.trimEnd();
        for (let cut = 0; cut < length; cut++) expect(faults(text.slice(0, cut)), text.slice(0, cut)).not.to.be.empty;
      });

    it('is refused with advice, as is a file of an older version without an end mark', () => {
      const [fault, ...more] = faults(`keys:\n  - ${entry('    ')}`);
      expect(fault).to.include('its last line must be ...').and.to.include('echo ... >>FILE');
      expect(more).to.deep.equal([]);
    });
  });

  it('may have no key at all', () => expect(readKeys('keys: []').size).to.equal(0));

  const bad: Record<string, [text: string, ...faults: string[]]> = {
    'an empty file': ['', 'it must have one field, keys, which is a list'],
    'a text': ['hello', 'it must have one field, keys, which is a list'],
    'no keys': ['{}', 'keys is required'],
    'keys that are no list': ['keys: {a: 1}', 'keys must be a list'],
    'an entry that is none': ['keys: [a]', 'keys[0] must have the fields name, sha256 and what the key may do'],
    'a field that is missing': ['keys: [{name: a}]', 'keys[0].sha256 is required'],
    'a field that there is not': [withEntry({ recieve: [1] }), 'keys[0].recieve is not a field here'],
    'the same key twice': [
      JSON.stringify({
        keys: [
          { name: 'a', sha256: DIGEST },
          { name: 'b', sha256: DIGEST.toUpperCase() },
        ],
      }),
      'keys[1] is the same key as keys[0]',
    ],
    'a name with blanks': [withEntry({ name: 'a b' }), 'keys[0].name must be 1 to 64 letters, digits, _ . @ : / or -'],
    'no list of addresses': [
      withEntry({ send: 100 }),
      'keys[0].send must be a list of addresses and ranges, such as [100, "200-299"]',
    ],
    'a star without quotation marks': ['keys:\n  - send: [*]', 'line 2, column 12: not valid YAML (BAD_ALIAS)'],
    'a bracket too few': ['keys: [', 'line 1, column 8: not valid YAML (BAD_INDENT)'],
  };
  for (const [what, [text, ...expected]] of Object.entries(bad))
    it(`names ${what}`, () => expect(faults(text)).to.include.members(expected));

  for (const address of [-1, 1.5, 4_294_967_296, 'x', '5-', '-5', '9-8', '1-4294967296', '1 - 2', '', null, true, [1]])
    it(`refuses ${JSON.stringify(address)} as an address`, () =>
      expect(faults(withEntry({ receive: [1, address] }))).to.deep.equal([
        'keys[0].receive[1] must be an address from 0 to 4294967295, a range such as "100-199", or "*" for all',
      ]));

  for (const date of ['tomorrow', '2027-13-01', '31.12.2027', '2027-01-31T10:00', 1_800_000_000])
    it(`refuses ${JSON.stringify(date)} as a date`, () =>
      expect(faults(withEntry({ expires: date }))).to.have.length(1));

  it('names every fault at once', () =>
    expect(faults(JSON.stringify({ keys: [{ name: 'a', sha256: DIGEST, send: 'x', to: ['y'] }, {}] }))).to.have.length(
      4,
    ));

  it('never quotes its contents in an error, which might be a key', () => {
    const key = newKey();
    const texts = [
      withEntry({ sha256: key }),
      withEntry({ name: `${key} ` }),
      withEntry({ [key]: 1 }),
      withEntry({ send: [key] }),
      withEntry({ expires: key }),
      `keys:\n  - ${key}`,
      `keys:\n  - sha256: ${key}\n  - *${key}`,
      `keys:\n  - "${key}`,
      `${key}: [`,
      `${key}: x\n${key}: y`,
    ];
    for (const text of texts) {
      const found = faults(text);
      expect(found, text).not.to.be.empty;
      expect(found.join('\n')).not.to.include(key.slice(7));
    }
  });
});
