// The comparison with peers accepts only complete results: tests of its checker, and of peers that need no Debian package.
import { expect } from 'chai';
import { SYSTEMS, measure } from '../../bench/peers/index.js';
import { check, messages } from '../../bench/peers/system.js';
import type { Message, Running, System } from '../../bench/peers/system.js';

const SIZE = { count: 200, warmUp: 100, alone: 100 };

const named = (name: string): System => SYSTEMS.find((system) => system.name.startsWith(name))!;

describe('the comparison of received with sent messages', () => {
  const sent = messages(300, 1_000_001);
  const faultOf = (received: Message[]) => () => check('a system', sent, received);

  it('accepts any order', () => {
    expect(faultOf(sent.toReversed())).not.to.throw();
  });

  it('notices a lost message', () => {
    expect(faultOf(sent.slice(1))).to.throw(`a system: lost: 1 messages, the first ${sent[0]!.payload}`);
  });

  it('notices a duplicate message, even if another one was lost', () => {
    expect(faultOf([...sent, sent[7]!])).to.throw(`received twice: ${sent[7]!.payload}`);
    expect(faultOf([...sent.slice(1), sent[7]!])).to.throw(/received twice.*lost/);
  });

  it('notices a changed message', () => {
    const altered = { ...sent[0]!, payload: sent[0]!.payload.replace(/.$/, '!') };
    expect(faultOf([altered, ...sent.slice(1)])).to.throw(/altered or never sent.*lost/);
  });

  it('notices a message from another queue', () => {
    expect(faultOf([{ ...sent[0]!, queue: 1 }, ...sent.slice(1)])).to.throw('from another queue');
  });
});

describe('a measurement of a system', function () {
  this.timeout(30_000);

  for (const name of ['floor', 'webdis', 'BullMQ', 'rsmq'])
    it(`succeeds for ${name}: all messages are delivered`, async function () {
      const system = named(name);
      if (system.missing?.('none')) this.skip();
      const { parts, perSecond, p50, p99 } = await measure(system, 'none', SIZE);
      for (const figure of [...Object.values(parts), perSecond, p50]) expect(figure).to.be.above(0);
      expect(p99).to.be.at.least(p50);
    });

  it('fails if the system loses a message, and still stops the system', async () => {
    const floor = named('floor');
    let stopped = false;
    const lossy: System = {
      ...floor,
      async start(durability): Promise<Running> {
        const running = await floor.start(durability);
        return {
          ...running,
          receive: async (count) => (await running.receive(count)).slice(1),
          async stop() {
            await running.stop();
            stopped = true;
          },
        };
      },
    };
    const outcome = await measure(lossy, 'none', SIZE).catch((error: unknown) => error);
    expect(String(outcome)).to.contain('lost: 1 messages');
    expect(stopped).to.be.true;
  });
});
