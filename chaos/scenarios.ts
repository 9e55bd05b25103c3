// Which faults a run has, one after the other.
import type { FAULTS } from './faults.js';

export interface Scenario {
  faults: readonly (keyof typeof FAULTS)[];
  /** Takes Sentinels. */
  needs?: 'sentinel';
  jumpingClocks?: true;
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
  'replica-kill': { faults: ['replica kill -9', 'replica kill -9'] },
  'replica-stop': { faults: ['replica SIGSTOP', 'replica SIGSTOP'] },
  'replica-empty': { faults: ['replica restarted empty', 'replica restarted empty'] },
  'sentinel-kill': { faults: ['Sentinel kill -9', 'Sentinel kill -9'], needs: 'sentinel' },
  'script-flush': { faults: ['SCRIPT FLUSH'] },
  'connections-cut': { faults: ['connections cut'] },
  'clock-jump': { faults: [], jumpingClocks: true },
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
