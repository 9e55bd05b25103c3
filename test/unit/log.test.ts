// What is not written to the log: more of the same, and what is nobody's business.
import { expect } from 'chai';
import { createLog } from '../../src/log/log.js';
import { until } from '../../harness/until.js';

function openLog(level = 'info') {
  const lines: Record<string, unknown>[] = [];
  const log = createLog(level, { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  return { log, lines };
}

describe('log', () => {
  it('writes the first of the same warnings, then one a second that says how many there were', async () => {
    const { log, lines } = openLog();
    for (let n = 1; n <= 1_020; n++) log.warn({ n }, 'again');
    expect(lines.map(({ n }) => n)).to.deep.equal(Array.from({ length: 20 }, (_, i) => i + 1));
    await until('the rest is told', () => lines.length > 20);
    expect(lines.slice(20).map(({ n, msg, level, repeated }) => ({ n, msg, level, repeated }))).to.deep.equal([
      { n: 1_020, msg: 'again', level: 40, repeated: 1_000 },
    ]);
    for (let n = 1; n <= 5; n++) log.warn('again');
    await until('the rest is told', () => lines.length > 21);
    expect(lines.at(-1)).to.include({ msg: 'again', repeated: 5 });
  });

  it('holds nothing back that differs, is no warning, or is the last word', () => {
    const { log, lines } = openLog('debug');
    for (let n = 0; n < 100; n++) {
      log.warn(`warning ${n}`);
      log.error({ n }, `error ${n}`);
      log.info('the same');
      log.debug('the same');
      log.fatal('the same');
    }
    expect(lines).to.have.length(500);
  });

  it('holds children’s lines back too', async () => {
    const { log, lines } = openLog();
    for (let n = 0; n < 50; n++) log.child({ n }).error({ error: new Error('x') }, 'again');
    await until('the rest is told', () => lines.length > 20);
    expect(lines.at(-1)).to.include({ n: 49, repeated: 30 });
  });

  const SECRET = 'sesame';
  for (const [what, write] of Object.entries({
    'a password in a URL': `connect to redis://aizumi:${SECRET}@h:1 failed`,
    'a password without a user': `rediss+sentinel://:${SECRET}@h1,h2/mymaster`,
    'a password in a query': `redis://h/0?username=a&password=${SECRET}`,
    'a bearer token': `Authorization: Bearer ${SECRET}`,
    'the arguments of an unknown command': `ERR unknown command 'XADD', with args beginning with: 'k' '${SECRET}'`,
  }))
    it(`has no ${what}`, () => {
      const { log, lines } = openLog();
      const error = new Error(write);
      log.error({ error }, 'failed');
      log.error({ err: error }, 'failed');
      log.warn({ cause: write, reason: write }, 'failed');
      const text = JSON.stringify(lines);
      expect(text).to.include('failed').and.not.to.include(SECRET);
      expect(lines[0]!.error).to.include({ name: 'Error' }).and.to.have.property('stack');
    });

  it('has nothing of a text that is no JSON', () => {
    const { log, lines } = openLog();
    for (const text of [`{"payload":"${SECRET}"`, SECRET, `{"a":${SECRET}}`, `"${SECRET}" 1`])
      try {
        JSON.parse(text);
      } catch (error) {
        log.error({ error }, 'failed');
      }
    expect(lines).to.have.length(4);
    expect(JSON.stringify(lines)).not.to.include(SECRET.slice(0, 5));
  });

  it('has no payload, not even by mistake', () => {
    const { log, lines } = openLog();
    log.info({ payload: SECRET, request: { payload: SECRET }, headers: { authorization: SECRET } }, 'a mistake');
    log.error(
      { error: Object.assign(new Error('x'), { command: { args: [SECRET] } }) },
      'what ioredis hangs on errors',
    );
    expect(JSON.stringify(lines)).not.to.include(SECRET);
  });
});
