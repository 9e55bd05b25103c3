// Events that hit the workers.
import type { Event } from './event.js';
import { inAizumi } from './kubectl.js';
import { WORKERS } from './pods.js';

const ROLLED = '--timeout=180s';

export const rollWorkers = (): Event => ({
  name: 'rolling update of the workers, kept and new connections',
  bound: 'planned',
  load: { kept: 8, fresh: 8 },
  strike: async () => {
    await inAizumi('rollout', 'restart', 'deployment/aizumi');
    await rolled();
  },
});

/** Without a bound: until the new ones serve depends on how fast a node starts pods. */
export const deleteWorkers = (): Event => ({
  name: 'all worker pods deleted at once',
  strike: async () => {
    await inAizumi('delete', 'pods', '--selector', WORKERS, '--wait=false');
    await rolled();
  },
});

const rolled = (): Promise<string> => inAizumi('rollout', 'status', 'deployment/aizumi', ROLLED);
