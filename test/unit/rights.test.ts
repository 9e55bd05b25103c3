import { readFileSync, readdirSync } from 'node:fs';
import { list } from '@ioredis/commands';
import { expect } from 'chai';
import { QUEUE_SCRIPTS } from '../../src/queue/queues.js';
import { CLUSTER_COMMANDS, OWN_COMMANDS, PLAIN_COMMANDS, commandsOf } from '../../src/redis/connect/rights.js';

/** Commands to Sentinels or to Cluster nodes, or optional ones. */
const ELSEWHERE = ['CLUSTER', 'CONFIG', 'QUIT', 'SENTINEL', 'SHUTDOWN', 'SUBSCRIBE'];

describe('redis/rights', () => {
  const asked = [
    ...commandsOf(QUEUE_SCRIPTS),
    ...OWN_COMMANDS,
    ...[...PLAIN_COMMANDS, ...CLUSTER_COMMANDS].map(([name]) => name!),
    'EVAL',
  ];
  const known = asked.map((command) => command.split(' ')[0]);

  it('requires every command in the scripts', () => {
    const lua = Object.values(QUEUE_SCRIPTS).map((script) => script.lua.replace(/--.*$/gm, ''));
    // every word in quotes and capitals that is a command, or part of one
    const words = lua.flatMap((text) => [...text.matchAll(/call\(\s*'([A-Z]+)'/g)].map(([, word]) => word!));
    expect(words).not.to.deep.equal([]);
    expect([...new Set(words)].filter((word) => !known.includes(word))).to.deep.equal([]);
  });

  it('requires every command in the code', () => {
    const folders = ['queue', 'redis'];
    const text = folders
      .flatMap((folder) =>
        readdirSync(`src/${folder}`, { recursive: true, encoding: 'utf8' })
          .filter((file) => file.endsWith('.ts'))
          .map((file) => readFileSync(`src/${folder}/${file}`, 'utf8')),
      )
      .join('\n');
    const called = [...text.matchAll(/\b(?:redis|to|node|reader|client|listener)\.(\w+)\(/g)]
      .map(([, name]) => name!)
      .filter((name) => list.includes(name));
    expect(called).to.include.members(['xadd', 'wait', 'exists']);
    const missing = [...new Set(called)].map((name) => name.toUpperCase()).filter((name) => !known.includes(name));
    expect(missing.filter((name) => !ELSEWHERE.includes(name))).to.deep.equal([]);
  });
});
