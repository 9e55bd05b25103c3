import { expect } from 'chai';
import { witnessesOf } from '../../src/redis/replication/fence-check.js';
import { judge } from '../../src/redis/replication/fence.js';
import type { Evidence } from '../../src/redis/replication/fence.js';
import { reportIn } from '../../src/redis/replication/node-report.js';
import type { NodeReport } from '../../src/redis/replication/node-report.js';
import type { SentinelView } from '../../src/redis/replication/sentinel.js';

/** Replication ids, each of a primary promoted from the one before. */
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

  it('is acknowledged if all other nodes follow the primary, or currently no node', () => {
    expect(verdict([follower, follower])).to.equal('');
    expect(verdict([follower, node('replica', AFTER, NOW, false)])).to.equal('');
    expect(verdict([follower, node('replica', OLDEST, '0000', false)])).to.equal('');
    expect(verdict([follower], []), 'without Sentinels').to.equal('');
  });

  it('is not acknowledged if the node that took it is a replica itself', () =>
    expect(verdict([follower], SENTINELS, node('replica', NOW, BEFORE))).to.match(/no longer the primary/));

  it('is not acknowledged if a replica was promoted, whatever the Sentinels report', () => {
    expect(verdict([follower, node('primary', AFTER, NOW)])).to.match(/promoted/);
    expect(verdict([node('replica', AFTER, NOW)]), 'or one has turned to it').to.match(/promoted/);
  });

  it('is acknowledged if an old primary is back and not yet demoted, or a replica still follows that one', () => {
    expect(verdict([follower, node('primary', BEFORE, OLDEST)])).to.equal('');
    expect(verdict([node('replica', BEFORE, OLDEST)])).to.equal('');
  });

  it('is acknowledged beside an unrelated primary only if every Sentinel confirms the primary', () => {
    const stranger = node('primary', '1234', '0000');
    expect(verdict([follower, stranger])).to.equal('');
    expect(verdict([follower, stranger], [VOUCHES, VOUCHES, undefined])).to.match(/another node leads/);
    expect(verdict([follower, stranger], [])).to.match(/another node leads/);
    expect(verdict([node('replica', '1234', '0000')], [VOUCHES, undefined])).to.match(/another node leads/);
  });

  it('is acknowledged without a lost node only while most Sentinels can be reached', () => {
    expect(verdict([follower, 'lost'])).to.equal('');
    expect(verdict([follower, 'lost'], [VOUCHES, VOUCHES, undefined])).to.equal('');
    expect(verdict([follower, 'lost'], [VOUCHES, undefined, undefined])).to.match(/cannot be reached/);
    expect(verdict([follower, 'lost'], []), 'nobody elects by himself').to.equal('');
  });

  it('is not acknowledged if a node answers without its role', () =>
    expect(verdict([follower, 'unclear'])).to.match(/does not report its role/));

  it('is not acknowledged if one Sentinel casts doubt', () =>
    expect(verdict([follower, follower], [VOUCHES, VOUCHES, { doubt: 'a fail-over is under way' }])).to.equal(
      'a fail-over is under way',
    ));

  it('is acknowledged if the primary is itself among the other nodes', () =>
    expect(verdict([PRIMARY, follower])).to.equal(''));
});

describe('the fence: a reply of a Sentinel', () => {
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

  it('casts no doubt on the primary of the latest fail-over', () => {
    expect(doubts(view, view, undefined)).to.deep.equal([false, false, undefined]);
    const late = { ...view, host: '10.0.0.2', epoch: 2, isDown: true };
    expect(doubts(view, late), 'one that has not heard of it').to.deep.equal([false, false]);
  });

  it('casts doubt if a fail-over is in progress, whatever else it contains', () =>
    expect(doubts(view, { ...view, epoch: 1, isFailingOver: true })).to.deep.equal([false, true]));

  it('casts doubt if the primary does not answer this Sentinel, or if it names another one', () => {
    expect(doubts(view, { ...view, isDown: true })).to.deep.equal([false, true]);
    expect(doubts(view, { ...view, host: '10.0.0.2', epoch: 4 })).to.deep.equal([false, true]);
    expect(witnessesOf([view], undefined)[0]?.doubt).to.match(/another primary/);
  });
});

describe('the fence: INFO of a node', () => {
  it('gives its role, its primary, and whether it writes an append-only file', () => {
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
