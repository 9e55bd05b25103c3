import { expect } from 'chai';
import { describeAddress, parseRedisAddress } from '../../src/config/redis-url.js';

describe('redis-address', () => {
  const good: Record<string, object> = {
    'redis://h': { shape: 'single', url: 'redis://h' },
    'redis://:secret@h:1/2': { shape: 'single', url: 'redis://:secret@h:1/2' },
    'rediss://user:p%40ss@h': { shape: 'single', url: 'rediss://user:p%40ss@h' },
    'redis://[::1]:6379/0': { shape: 'single', url: 'redis://[::1]:6379/0' },
    'unix:///run/redis.sock': { shape: 'single', url: 'unix:///run/redis.sock' },

    'redis+sentinel://h1:1,h2:2,h3:3/mymaster': {
      shape: 'sentinel',
      hosts: [
        { host: 'h1', port: 1 },
        { host: 'h2', port: 2 },
        { host: 'h3', port: 3 },
      ],
      primary: 'mymaster',
      db: 0,
      tls: false,
    },
    'redis+sentinel://h1,[::1],[fe80::1]:2,10.0.0.1,a-b.example.com:65535/m': {
      shape: 'sentinel',
      hosts: [
        { host: 'h1', port: 26_379 },
        { host: '::1', port: 26_379 },
        { host: 'fe80::1', port: 2 },
        { host: '10.0.0.1', port: 26_379 },
        { host: 'a-b.example.com', port: 65_535 },
      ],
      primary: 'm',
      db: 0,
      tls: false,
    },
    'rediss+sentinel://us%3Aer:p%2F%40%3A%25%20@h/my%20master?db=15&sentinelUsername=s%40&sentinelPassword=p%26%3D': {
      shape: 'sentinel',
      hosts: [{ host: 'h', port: 26_379 }],
      primary: 'my master',
      db: 15,
      tls: true,
      username: 'us:er',
      password: 'p/@:% ',
      sentinelUsername: 's@',
      sentinelPassword: 'p&=',
    },
    'redis+sentinel://:secret@h/m?sentinelPassword=a%2525b': {
      shape: 'sentinel',
      hosts: [{ host: 'h', port: 26_379 }],
      primary: 'm',
      db: 0,
      tls: false,
      password: 'secret',
      sentinelPassword: 'a%25b',
    },

    'redis+cluster://h1:7000,h2,[::1]:7002': {
      shape: 'cluster',
      hosts: [
        { host: 'h1', port: 7_000 },
        { host: 'h2', port: 6_379 },
        { host: '::1', port: 7_002 },
      ],
      tls: false,
    },
    'redis+cluster://h/': { shape: 'cluster', hosts: [{ host: 'h', port: 6_379 }], tls: false },
    'rediss+cluster://user:p%3A@h': {
      shape: 'cluster',
      hosts: [{ host: 'h', port: 6_379 }],
      tls: true,
      username: 'user',
      password: 'p:',
    },
    'redis+cluster://user@h': {
      shape: 'cluster',
      hosts: [{ host: 'h', port: 6_379 }],
      tls: false,
      username: 'user',
    },
  };
  for (const [url, address] of Object.entries(good))
    it(`reads ${url}`, () => expect(parseRedisAddress(url)).to.deep.equal(address));

  const bad = [
    '',
    'h',
    'h:6379',
    'http://h',
    'redis:h',
    'redis://',
    'redis:///0',
    'redis://h/name',
    'redis://h:99999',
    'redis://h1:1,h2:2',
    'redis://:100%@h',
    ' redis://h',
    'redis://h ',
    'unix://',
    'unix:///',
    'unix://host/path',

    'redis+sentinel://',
    'redis+sentinel://h', // which primary?
    'redis+sentinel://h/',
    'redis+sentinel:///m',
    'redis+sentinel://h1,/m',
    'redis+sentinel://,h1/m',
    'redis+sentinel://h1,,h2/m',
    'redis+sentinel://h1 h2/m',
    'redis+sentinel://h1, h2/m',
    'redis+sentinel://h:0/m',
    'redis+sentinel://h:65536/m',
    'redis+sentinel://h:port/m',
    'redis+sentinel://h:/m',
    'redis+sentinel://::1/m',
    'redis+sentinel://[::1/m',
    'redis+sentinel://a@b@h/m',
    'redis+sentinel://:p/w@h/m', // a password with / unencoded
    'redis+sentinel://h/m/n',
    'redis+sentinel://h/m?db=one',
    'redis+sentinel://h/m?db=1.5',
    'redis+sentinel://h/m?db=-1',
    'redis+sentinel://h/m?db=',
    'redis+sentinel://h/m?db=1e1',
    'redis+sentinel://h/m?db=1&db=2',
    'redis+sentinel://h/m?password=secret',
    'redis+sentinel://h/m?DB=1',
    'redis+sentinel://:100%@h/m',
    'redis+sentinel://h/100%',
    'redis+sentinel://h/m?sentinelPassword=100%',
    ' redis+sentinel://h/m',
    'redis+sentinel://h/m ',
    'REDIS+sentinel://h/m',
    'redis+sentinels://h/m',
    'unix+sentinel://h/m',

    'redis+cluster://',
    'redis+cluster://h/0', // a Cluster has only database 0
    'redis+cluster://h/name',
    'redis+cluster://h?db=0',
    'redis+cluster://h1,,h2',
    'redis+cluster://h:99999',
    'redis+cluster://:100%@h',
    'redis+clusters://h',
  ];
  for (const url of bad)
    it(`refuses ${JSON.stringify(url)}, with examples of valid URLs`, () =>
      expect(() => parseRedisAddress(url)).to.throw(
        Error,
        'must be an address such as redis://host:6379, rediss://host:6379, unix:///path/of/socket, ' +
          'redis+sentinel://h1:26379,h2:26379,h3:26379/mymaster or redis+cluster://h1:6379,h2:6379,h3:6379',
      ));

  it('never quotes a part of a refused URL', () => {
    for (const url of bad.concat('redis+sentinel://user:sesame@h', 'redis+cluster://user:sesame@h:0'))
      expect(() => parseRedisAddress(url))
        .to.throw(Error)
        .with.property('message')
        .not.match(/secret|sesame|100%/);
  });

  describe('as text', () => {
    const described: Record<string, string> = {
      'redis://user:sesame@h:1/2?password=sesame': 'redis://h:1/2',
      'rediss://:sesame@[::1]:1': 'rediss://[::1]:1',
      'redis://sesame@h': 'redis://h',
      'unix:///run/redis.sock?password=sesame': 'unix:///run/redis.sock',
      'redis+sentinel://user:sesame@h1,h2:2/mymaster?db=1&sentinelPassword=sesame&sentinelUsername=sesame':
        'redis+sentinel://h1,h2:2/mymaster',
      'rediss+sentinel://:ses:ame@h1/m': 'rediss+sentinel://h1/m',
      'redis+cluster://sesame:sesame@h1:1,[::1]:2': 'redis+cluster://h1:1,[::1]:2',
      'rediss+cluster://:sesame@h1': 'rediss+cluster://h1',
    };
    for (const [url, text] of Object.entries(described))
      it(`${url} is ${text}`, () => {
        parseRedisAddress(url); // the URL itself is valid
        expect(describeAddress(url).replace(/\/$/, ''))
          .to.equal(text)
          .and.not.to.match(/sesame|ses:ame|user/);
      });
  });
});
