import { connect } from 'node:net';
import { once } from 'node:events';
import { expect } from 'chai';
import { authority, formatError, formatNode } from '../../src/names/authority.js';

describe('an address in words', () => {
  it('has IPv6 in brackets, and nothing else', () => {
    expect(authority('::1', 8080)).to.equal('[::1]:8080');
    expect(authority('127.0.0.1', 8080)).to.equal('127.0.0.1:8080');
    expect(authority('mq.example', 8080)).to.equal('mq.example:8080');
  });

  it('is made of a node’s name in Redis’s words; of no name none', () =>
    expect(['fd00::5:6379', '10.0.0.1:6379', 'redis-0:6379', ''].map(formatNode)).to.deep.equal([
      '[fd00::5]:6379',
      '10.0.0.1:6379',
      'redis-0:6379',
      '',
    ]));

  it('stands in Node’s message of a failed connection', async () => {
    const [error] = (await once(connect(1, '127.0.0.1'), 'error').catch((thrown: unknown) => [thrown])) as [Error];
    expect(formatError(error)).to.equal('connect ECONNREFUSED 127.0.0.1:1');
    const ofIpv6 = Object.assign(new Error('connect EHOSTUNREACH fd00::5:6379'), { address: 'fd00::5', port: 6379 });
    expect(formatError(ofIpv6)).to.equal('connect EHOSTUNREACH [fd00::5]:6379');
    expect(formatError(new Error('Connection is closed.'))).to.equal('Connection is closed.');
  });
});
