// Detours: which commands are retried, and which must not be.
import { expect } from 'chai';
import { BrokerError } from '../../src/errors.js';
import { Detours } from '../../src/redis/connect/detours.js';
import { NOT_SENT } from '../../src/redis/private-api.js';

describe('a command that was refused', () => {
  /** A command that fails with `error` the first time, and succeeds the second. */
  async function attempts(error: Error): Promise<{ asked: number; outcome: unknown }> {
    let asked = 0;
    const attempt = (): Promise<string> => (asked++ === 0 ? Promise.reject(error) : Promise.resolve('done'));
    const outcome: unknown = await new Detours(() => undefined)
      .carryOut('queue', attempt)
      .catch((failure: unknown) => failure);
    return { asked, outcome };
  }

  for (const words of [NOT_SENT, 'READONLY You cannot write', 'NOREPLICAS Not enough', 'LOADING Redis is loading']) {
    it(`is retried: ${words}`, async () => {
      const error = Object.assign(new Error(words), words === NOT_SENT ? {} : { name: 'ReplyError' });
      expect(await attempts(error)).to.deep.equal({ asked: 2, outcome: 'done' });
    });

    it(`is not retried if a write was done before WAIT failed: ${words}`, async () => {
      const cause = Object.assign(new Error(words), words === NOT_SENT ? {} : { name: 'ReplyError' });
      const error = new BrokerError('not_durable', 'the connection broke', { outcome: 'unknown', cause });
      expect(await attempts(error)).to.deep.equal({ asked: 1, outcome: error });
    });
  }
});
