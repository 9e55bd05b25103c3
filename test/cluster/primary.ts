// Makes a chosen pod the primary.
import { setTimeout as pause } from 'node:timers/promises';
import { exec } from './kubectl.js';
import { REDIS, pods, whole } from './pods.js';
import type { Pod } from './pods.js';

const TRIES = 3;
/** Sentinel prefers the lowest but 0; deploy/ has 100 for all. */
const [PREFERRED, USUAL] = [50, 100];
/** Sentinels ask for it every 0.5 s. */
const NOTICED_MS = 2_000;
/** Sentinels refuse a second fail-over within this. */
const AGAIN_MS = 10_000;

/** Hands over until the primary's pod is such a one. */
export async function handOverTo(isWanted: (primary: Pod) => boolean): Promise<Pod> {
  for (let tries = 0; tries < TRIES; tries++) {
    const primary = await whole();
    if (isWanted(primary)) return primary;
    const wanted = (await pods(REDIS)).find(isWanted);
    if (!wanted) throw new Error('no pod of Redis is where the primary should be');
    const prefer = (priority: number): Promise<string> =>
      exec({ pod: wanted.name, container: 'redis' }, ['redis-cli', 'CONFIG', 'SET', 'replica-priority', `${priority}`]);
    await prefer(PREFERRED);
    await pause(NOTICED_MS);
    const refused = await exec({ pod: primary.name, container: 'redis' }, ['sh', '/opt/aizumi/hand-over.sh']).then(
      () => false,
      () => true,
    );
    await prefer(USUAL);
    if (refused) await pause(AGAIN_MS);
  }
  throw new Error(`after ${TRIES} hand-overs the primary is still not where it should be`);
}
