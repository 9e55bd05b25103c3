// Deletes and recreates the Services of the Redis pods: each then has a new address, which all clients must find.
import { until } from '../../harness/until.js';
import type { Event } from './event.js';
import { applyOverlay } from './install.js';
import type { Installed } from './install.js';
import { NAMESPACE, get, inAizumi } from './kubectl.js';
import { ask, drain } from './load.js';
import { whole } from './pods.js';
import type { Check } from './step.js';

const REDIS_SERVICES = ['redis-0', 'redis-1', 'redis-2'];
const APPLIED_MS = 30_000;
const HEALED_MS = 240_000;
/** Each meets one of at least three workers by chance. */
const REQUESTS = 30;
const ADDRESS = 4_294_963_000;

async function addressOf(service: string): Promise<string | undefined> {
  return get('service', service, '--namespace', NAMESPACE).then(
    ({ spec }) => spec.clusterIP as string,
    () => undefined, // it is not there
  );
}

async function makeAnew(overlay: string, services: readonly string[]): Promise<void> {
  const before = await Promise.all(services.map(addressOf));
  await inAizumi('delete', 'service', ...services);
  await applyOverlay(overlay);
  const isNew = async (): Promise<boolean> =>
    (await Promise.all(services.map(addressOf))).every((address, i) => address !== undefined && address !== before[i]);
  await until('the Services have new addresses', isNew, APPLIED_MS);
  await whole(HEALED_MS);
}

export const replicasService = (overlay: string): Event => ({
  name: "a replica's Service made anew",
  strike: ({ name }) => makeAnew(overlay, [REDIS_SERVICES.find((service) => service !== name)!]),
});

export const primarysService = (overlay: string): Event => ({
  name: "the primary's Service made anew",
  strike: ({ name }) => makeAnew(overlay, [name]),
});

export const allServices = (overlay: string): Event => ({
  name: 'all three Services made anew',
  strike: () => makeAnew(overlay, REDIS_SERVICES),
});

/**
 * Whether workers count three nodes still, and not the old addresses too: `all` is acknowledged only when every node that is
 * known has the message.
 */
export async function countedNodes(installed: Installed): Promise<Check[]> {
  const request = { msg_type: 'MSG_SEND_REQ', saddr: 1, daddr: ADDRESS, id: 1, payload: 'hello', durability: 'all' };
  const statuses = await ask(installed.url, { key: installed.key, body: request, times: REQUESTS });
  await drain(installed, ADDRESS);
  const seen = `answered ${statuses.sort().join(', ')}`;
  return [{ name: '…, then SENDs at `all` to every worker', seen, broken: statuses.some((status) => status !== 200) }];
}
