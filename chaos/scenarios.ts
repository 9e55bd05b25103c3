// The table of scenarios: the faults of each, in order.
import type { FAULTS } from './faults.js';

export interface Scenario {
  faults: readonly (keyof typeof FAULTS)[];
  /** Needs Sentinels, a Cluster, or Redis nodes whose clock can be set. */
  needs?: 'sentinel' | 'cluster' | 'clock';
  /** The workers' clocks keep jumping. */
  jumpingClocks?: true;
  /** Replicas per primary of a Cluster; default: 1. A single replica has confirmed every write before it is promoted. */
  replicasEach?: 2;
  /** Senders are idle, and one worker gets no requests until a replica is promoted: see LoadOptions. */
  idle?: true;
  /** The connections of some receivers break, and these repeat their RECVs. */
  breaksOff?: true;
  /** Leases may end an hour late, so all receivers send GBYE before the queues are drained. */
  leave?: true;
}

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  none: { faults: [] },
  'worker-kill': { faults: ['worker kill -9', 'worker kill -9'] },
  'worker-stop': { faults: ['worker SIGSTOP', 'worker SIGSTOP'] },
  'primary-kill': { faults: ['primary kill -9'] },
  'primary-return': { faults: ['primary kill -9, back during the fail-over'], needs: 'sentinel' },
  'primary-kill-behind': { faults: ['primary kill -9, replicas behind'], needs: 'sentinel' },
  'primary-stop': { faults: ['primary SIGSTOP'] },
  'primary-restart': { faults: ['primary kill -9 and restart', 'primary kill -9 and restart'] },
  'primary-restart-behind': {
    faults: ['primary restarted, killed while a replica has not followed'],
    needs: 'sentinel',
  },
  'replica-kill': { faults: ['replica kill -9', 'replica kill -9'] },
  'replica-stop': { faults: ['replica SIGSTOP', 'replica SIGSTOP'] },
  'replica-empty': { faults: ['replica restarted empty', 'replica restarted empty'] },
  'sentinel-kill': { faults: ['Sentinel kill -9', 'Sentinel kill -9'], needs: 'sentinel' },
  'script-flush': { faults: ['SCRIPT FLUSH'] },
  'connections-cut': { faults: ['connections cut'] },
  'clock-jump': { faults: [], jumpingClocks: true },
  'redis-clock-ahead': { faults: ['primary clock +1 h'], needs: 'clock' },
  'redis-clock-back': { faults: ['primary clock -1 h', 'clocks set right'], needs: 'clock' },
  'redis-clock-ahead-and-back': { faults: ['primary clock +1 h', 'clocks set right'], needs: 'clock', leave: true },
  'redis-clock-stays-back': { faults: ['primary clock -1 h'], needs: 'clock', leave: true },
  'redis-clock-failover': { faults: ['primary clock +1 h', 'primary kill -9'], needs: 'clock', leave: true },
  'stall-and-resume': { faults: ['primary SIGSTOP, back at the promotion'], replicasEach: 2 },
  'stall-and-resume-idle': { faults: ['primary SIGSTOP, back at the promotion'], replicasEach: 2, idle: true },
  'sentinel-failover': { faults: ['SENTINEL FAILOVER'], needs: 'sentinel' },
  'sentinel-failover-idle': { faults: ['SENTINEL FAILOVER'], needs: 'sentinel', idle: true },
  'sentinel-failover-coordinated': { faults: ['SENTINEL FAILOVER COORDINATED'], needs: 'sentinel' },
  'failover-to': { faults: ['FAILOVER TO'], needs: 'sentinel' },
  'cluster-failover': { faults: ['CLUSTER FAILOVER'], needs: 'cluster', replicasEach: 2 },
  'cluster-failover-force': { faults: ['CLUSTER FAILOVER FORCE'], needs: 'cluster', replicasEach: 2 },
  'cluster-failover-takeover': { faults: ['CLUSTER FAILOVER TAKEOVER'], needs: 'cluster', replicasEach: 2 },
  'cluster-failover-idle': { faults: ['CLUSTER FAILOVER FORCE'], needs: 'cluster', replicasEach: 2, idle: true },
  'sentinel-reset': { faults: ['SENTINEL RESET, replicas hung'], needs: 'sentinel' },
  'replicas-in-turn': { faults: ['each replica kill -9 in turn'], replicasEach: 2 },
  reshard: { faults: ['slots moved', 'slots moved'], needs: 'cluster' },
  'slot-to-and-fro': { faults: ['a slot to and fro'], needs: 'cluster' },
  'replica-clock-ahead-leads': { faults: ['replica clocks +1 h', 'primary kill -9'], needs: 'clock', leave: true },
  'replica-clock-back-leads': { faults: ['replica clocks -1 h', 'primary kill -9'], needs: 'clock', leave: true },
  'recv-break-off': { faults: [], breaksOff: true },
  short: { faults: ['connections cut', 'primary kill -9', 'worker kill -9'], jumpingClocks: true },
  mix: {
    faults: [
      'connections cut',
      'worker kill -9',
      'replica SIGSTOP',
      'primary kill -9',
      'SCRIPT FLUSH',
      'primary SIGSTOP',
    ],
    jumpingClocks: true,
  },
};
