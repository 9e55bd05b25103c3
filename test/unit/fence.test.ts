import { expect } from 'chai';
import { witnessesOf } from '../../src/redis/replication/fence-check.js';
import { judge } from '../../src/redis/replication/fence.js';
import type { Evidence } from '../../src/redis/replication/fence.js';
import { reportIn } from '../../src/redis/replication/node-report.js';
import type { NodeReport } from '../../src/redis/replication/node-report.js';
import type { SentinelView } from '../../src/redis/replication/sentinel.js';

/** Ids of replication, each promoted from the one before. */
const [OLDEST, BEFORE, NOW, AFTER] = ['aaaa', 'bbbb', 'cccc', 'dddd'];

const node = (role: NodeReport['role'], id: string, before: string, isLinkUp = true): NodeReport => ({
  role,
  lineage: { id, before },
  isLinkUp,
  isOnDisk: true,
});
const PRIMARY = node('primary', NOW, BEFORE);
const VOUCHES = { doubt: '' };
const SENTINELS = [VOUCHES, VOUCHES, VOUCHES];

const verdict = (others: Evidence['others'], witnesses: Evidence['witnesses'] = SENTINELS, primary = PRIMARY): string =>
  judge({ primary, others, witnesses });

describe('the fence: a batch that not all replicas have confirmed', () => {
  const follower = node('replica', NOW, BEFORE);

  it('is good when all others follow the primary, or nobody at the moment', () => {
    expect(verdict([follower, follower])).to.equal('');
    expect(verdict([follower, node('replica', AFTER, NOW, false)])).to.equal('');
    expect(verdict([follower, node('replica', OLDEST, '0000', false)])).to.equal('');
    expect(verdict([follower], []), 'without Sentinels').to.equal('');
  });

  it('is not when the one that took it follows somebody itself', () =>
    expect(verdict([follower], SENTINELS, node('replica', NOW, BEFORE))).to.match(/no longer the primary/));

  it('is not when a replica has been promoted, whatever the Sentinels say', () => {
    expect(verdict([follower, node('primary', AFTER, NOW)])).to.match(/promoted/);
    expect(verdict([node('replica', AFTER, NOW)]), 'or one has turned to it').to.match(/promoted/);
  });

  it('is good when the old primary is back and has not heard yet, or a replica still follows that one', () => {
    expect(verdict([follower, node('primary', BEFORE, OLDEST)])).to.equal('');
    expect(verdict([node('replica', BEFORE, OLDEST)])).to.equal('');
  });

  it('is good with a stranger that leads only when every Sentinel vouches for the primary', () => {
    const stranger = node('primary', '1234', '0000');
    expect(verdict([follower, stranger])).to.equal('');
    expect(verdict([follower, stranger], [VOUCHES, VOUCHES, undefined])).to.match(/another node leads/);
    expect(verdict([follower, stranger], [])).to.match(/another node leads/);
    expect(verdict([node('replica', '1234', '0000')], [VOUCHES, undefined])).to.match(/another node leads/);
  });

  it('is good with a node that is lost only while most Sentinels can be reached', () => {
    expect(verdict([follower, 'lost'])).to.equal('');
    expect(verdict([follower, 'lost'], [VOUCHES, VOUCHES, undefined])).to.equal('');
    expect(verdict([follower, 'lost'], [VOUCHES, undefined, undefined])).to.match(/cannot be reached/);
    expect(verdict([follower, 'lost'], []), 'nobody elects by himself').to.equal('');
  });

  it('is not when a node answers and does not say what it is', () =>
    expect(verdict([follower, 'unclear'])).to.match(/does not report its role/));

  it('is not when one Sentinel has a doubt', () =>
    expect(verdict([follower, follower], [VOUCHES, VOUCHES, { doubt: 'a fail-over is under way' }])).to.equal(
      'a fail-over is under way',
    ));

  it('takes the primary, found among the others, for what it is', () =>
    expect(verdict([PRIMARY, follower])).to.equal(''));
});

describe('the fence: what Sentinels say', () => {
  const view: SentinelView = {
    host: '10.0.0.1',
    port: 6379,
    epoch: 3,
    isFailingOver: false,
    isDown: false,
    downAfterMs: 1_000,
    knownForMs: 60_000,
    replicas: [],
  };
  const target = { host: '10.0.0.1', port: 6379 };
  const doubts = (...views: (SentinelView | undefined)[]): (boolean | undefined)[] =>
    witnessesOf(views, target).map((witness) => witness && witness.doubt !== '');

  it('is nothing against the primary that the latest fail-over made', () => {
    expect(doubts(view, view, undefined)).to.deep.equal([false, false, undefined]);
    const late = { ...view, host: '10.0.0.2', epoch: 2, isDown: true };
    expect(doubts(view, late), 'one that has not heard of it').to.deep.equal([false, false]);
  });

  it('is a doubt when a fail-over is under way, whatever its Sentinel has heard', () =>
    expect(doubts(view, { ...view, epoch: 1, isFailingOver: true })).to.deep.equal([false, true]));

  it('is a doubt when the primary is silent to one, or another one is named', () => {
    expect(doubts(view, { ...view, isDown: true })).to.deep.equal([false, true]);
    expect(doubts(view, { ...view, host: '10.0.0.2', epoch: 4 })).to.deep.equal([false, true]);
    expect(witnessesOf([view], undefined)[0]?.doubt).to.match(/another primary/);
  });
});

describe('the fence: INFO of a node', () => {
  it('says what it is, whom it follows, and whether it keeps a file', () => {
    const text = [
      '# Persistence',
      'aof_enabled:1',
      '# Replication',
      'role:slave',
      'master_link_status:down',
      `master_replid:${NOW}`,
      `master_replid2:${BEFORE}`,
      '',
    ].join('\r\n');
    expect(reportIn(text)).to.deep.equal({ ...node('replica', NOW, BEFORE, false) });
    const withoutFile = text.replace('aof_enabled:1', 'aof_enabled:0');
    expect(reportIn(withoutFile).isOnDisk, 'while its link is down it may be loading a full copy').to.equal(undefined);
    const inStep = withoutFile.replace('master_link_status:down', 'master_link_status:up');
    expect(reportIn(inStep).isOnDisk).to.equal(false);
    expect(reportIn(`${inStep}\r\nloading:1`).isOnDisk).to.equal(undefined);
    expect(reportIn('role:master').isOnDisk).to.equal(undefined);
  });
});
