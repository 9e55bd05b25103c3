// API keys that are changed while workers run.
import { newKey } from '../../src/access/api-key.js';
import { until } from '../../harness/until.js';
import { setKeys } from './install.js';
import type { Installed } from './install.js';
import { ask } from './load.js';
import { WORKERS, pods } from './pods.js';
import type { Check } from './step.js';

/** The kubelet brings a changed Secret within about a minute, its cache's time and its own round. */
const CHANGED_MS = 180_000;
/** Each meets one of at least three workers by chance: so many that agree mean all of them. */
const REQUESTS = 30;
const address = 4_294_967_000;

export async function rotation({ url, key }: Installed): Promise<Check[]> {
  const before = await pods(WORKERS);
  const [old, added] = [newKey(), newKey()];
  const body = { msg_type: 'MSG_STAT_REQ', saddr: address, daddr: 5000 };
  /** @returns after how many seconds all workers answer so */
  const everywhere = async (what: string, which: string, status: number): Promise<number> => {
    const startMs = performance.now();
    const isSo = async (): Promise<boolean> => {
      const statuses = await ask(url, { body, key: which, times: REQUESTS });
      return statuses.length === 1 && statuses[0] === status;
    };
    await until(what, isSo, CHANGED_MS);
    return (performance.now() - startMs) / 1000;
  };
  await setKeys({ main: key, old });
  await everywhere('a key that was added is taken', old, 200);
  await setKeys({ main: key, added });
  const taken = await everywhere('the new key is taken', added, 200);
  const refused = await everywhere('the old key is refused', old, 401);
  await setKeys({ main: key });
  const after = await pods(WORKERS);
  const isSame = before.every(({ uid, restarts }) => after.some((pod) => pod.uid === uid && pod.restarts === restarts));
  return [
    {
      name: 'the Secret aizumi-api-keys changed',
      seen: `the new key is taken after ${taken.toFixed()} s, the old one refused ${refused.toFixed()} s later, ${
        isSame ? 'no worker was started again' : 'workers were started again'
      }`,
      broken: !isSame,
    },
  ];
}
