// Texts that once took quadratic time, which is minutes for these.
import { expect } from 'chai';
import { pino } from 'pino';
import { Pressure } from '../../src/http/limits/pressure.js';
import { withoutSecrets } from '../../src/log/log.js';
import { parseRequest } from '../../src/messages/json-text.js';
import { until } from '../../harness/until.js';

const LONG = 1_048_576;
const SEND = '{"msg_type":"MSG_SEND_REQ","saddr":1}';

describe('a very long text', function () {
  this.timeout(20_000);

  it('of spaces is classified at once under pressure', async () => {
    const pressure = new Pressure({ maxUnanswered: 1, unanswered: () => 2, log: pino({ level: 'silent' }) });
    try {
      await until('the worker is under pressure', () => pressure.level === 1);
      for (const blank of [' ', '\n', '\t'])
        for (const end of ['', '[', '{', '{"msg_type"', ' x'])
          expect(() => pressure.checkText(blank.repeat(LONG) + end)).not.to.throw();
      for (const text of [SEND, `[${SEND}]`, ` \n[ \t${SEND}`, '{ "msg_type" : 1 , "saddr": 1}'])
        expect(() => pressure.checkText(text), text).to.throw('this worker is overloaded');
      for (const text of [`[[${SEND}`, '{"msg_type":11}', '{"msg_type":"MSG_FREE_REQ"}'])
        expect(() => pressure.checkText(text), text).not.to.throw();
    } finally {
      pressure.stop();
    }
  });

  it('of colons after a long name is quickly refused as invalid JSON', () => {
    for (const name of ['\\u0070ayload', `${'x'.repeat(LONG / 2)}\\u0070`])
      expect(() => parseRequest(`{"${name}"${':'.repeat(LONG / 2)}1}`)).to.throw('not valid JSON');
    expect(parseRequest('{"\\u0070ayload":"x"}').payload).to.equal('"x"');
  });

  it('of words with dots is quickly searched for passwords', () => {
    expect(withoutSecrets('a.'.repeat(LONG / 2))).to.have.length(LONG);
    expect(withoutSecrets('redis+sentinel://user:secret@host/x')).to.equal('redis+sentinel://…@host/x');
  });
});
