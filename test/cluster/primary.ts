// Which pod is the primary, brought about.
import { exec } from './kubectl.js';
import { whole } from './pods.js';
import type { Pod } from './pods.js';

const TRIES = 12;

/** Hands over until the primary's pod is such a one: Sentinel picks which replica is next. */
export async function handOverTo(isWanted: (primary: Pod) => boolean): Promise<Pod> {
  for (let tries = 0; tries < TRIES; tries++) {
    const primary = await whole();
    if (isWanted(primary)) return primary;
    // it may be refused shortly after another one
    await exec({ pod: primary.name, container: 'redis' }, ['sh', '/opt/aizumi/hand-over.sh']).catch(() => undefined);
  }
  throw new Error(`after ${TRIES} hand-overs the primary is still not where it should be`);
}
