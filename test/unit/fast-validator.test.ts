import { expect } from 'chai';
import fc from 'fast-check';
import Joi from 'joi';
import { fastValidatorOf } from '../../src/messages/fast-validator.js';
import { MESSAGE_TYPES } from '../../src/messages/table.js';

const PLAIN: Record<string, object> = {
  MSG_SEND_REQ: { saddr: 1, daddr: 2, id: 3, payload: null },
  MSG_RECV_REQ: { saddr: 1, daddr: 5000 },
  MSG_FREE_REQ: { saddr: 1, daddr: 5000, id: 3 },
};

/** Values at and around every bound, and of every JSON type. */
const value = fc.oneof(
  fc.constantFrom(0, -0, -1, 1, 64, 65, 20_000, 20_001, 0xffff_ffff, 0x1_0000_0000, 604_800_000, 604_800_001),
  fc.constantFrom(43_200_000, 43_200_001, 31_536_000_000, 31_536_000_001, 2 ** 53 - 1, 2 ** 53, 1.5, 1e300, 1e-300),
  fc.constantFrom('primary', 'all', 'dead', 'waiting', 'x', '', '1', null, true, false),
  fc.constant([1]),
  fc.constant({}),
  fc.jsonValue(),
);

describe('messages/fast-validator', () => {
  for (const { request, schema } of MESSAGE_TYPES) {
    if (!schema) continue;
    const names = [...Object.keys((schema.describe() as { keys: object }).keys), 'other', '__proto__'];
    const valid = { saddr: 1, daddr: 5000, id: 1, payload: {} };

    it(`accepts no ${request} that Joi refuses`, () => {
      const isValid = fastValidatorOf(schema);
      const fields = fc.dictionary(fc.constantFrom(...names), value, { maxKeys: 4 });
      const check = fc.property(fields, fc.boolean(), (some, fill) => {
        const request = { ...(fill && valid), ...some };
        if (isValid(request)) expect(schema.validate(request).error).to.equal(undefined);
      });
      fc.assert(check, { numRuns: 2_000 });
    });
  }

  for (const { request, schema } of MESSAGE_TYPES.filter(({ request }) => request in PLAIN)) {
    it(`accepts a plain ${request}, also with all five fields`, () => {
      const isValid = fastValidatorOf(schema as Joi.ObjectSchema);
      expect(isValid(PLAIN[request] as never)).to.equal(true);
      expect(isValid({ msg_type: request, ...PLAIN[request], id: 1, payload: 'x' })).to.equal(true);
    });
  }

  it('leaves rules that it does not implement to Joi', () => {
    const leaves = (field: Joi.Schema, given: unknown): void => {
      expect(fastValidatorOf(Joi.object({ field }))({ field: given }), JSON.stringify(field.describe())).to.equal(
        false,
      );
    };
    leaves(Joi.string(), 'text');
    leaves(Joi.number().multiple(2), 2);
    leaves(Joi.number().allow(null), 2);
    leaves(Joi.any().forbidden(), 2);
    leaves(Joi.any().invalid(2), 2);
    leaves(
      Joi.any().custom((given: unknown) => given),
      2,
    );
    leaves(Joi.object(), {});
    expect(fastValidatorOf(Joi.object({ a: Joi.any(), b: Joi.any() }).xor('a', 'b'))({ a: 1 })).to.equal(false);
    expect(fastValidatorOf(Joi.object({ a: Joi.any() }).unknown())({ a: 1 })).to.equal(false);
    expect(
      fastValidatorOf(Joi.object({ a: Joi.any().when('b', { is: 1, then: Joi.forbidden() }), b: Joi.any() }))({ a: 1 }),
    ).to.equal(false);
  });
});
