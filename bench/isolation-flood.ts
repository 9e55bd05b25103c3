// The process of the client that floods, so that its work does not delay the one that is measured.
// Arguments: the input's name, the broker's URL, its key, `prepare` or `flood`. Ends when it is prepared, or with its parent.
import { constants, setPriority } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { httpClient } from '../harness/http-client.js';
import { INPUTS, type Attacker } from './isolation-inputs.js';

const [name, url = '', key = '', what] = process.argv.slice(2);
const client = httpClient(url);

const attacker: Attacker = {
  url,
  key,
  ask: (body, as = key) =>
    client
      .ask('POST', '/', typeof body === 'string' ? body : JSON.stringify(body), { authorization: `Bearer ${as}` })
      .catch(() => ({ status: 0, text: '' })),
};

const input = INPUTS.find((one) => one.name === name);
if (!input) throw new Error(`there is no input ${name}`);

async function again(connection: number): Promise<never> {
  for (let nth = 0; ; nth++) {
    await input?.flood(attacker, nth, connection);
    // also where the broker is gone, the parent's message must be heard
    await setImmediate();
  }
}

if (what === 'prepare') {
  await input.prepare?.(attacker);
  process.exit(0);
}
process.on('disconnect', () => process.exit(0));
// a real one takes the broker's time, not the time of its machine
setPriority(constants.priority.PRIORITY_LOW);
await Promise.all(Array.from({ length: input.connections }, (_, connection) => again(connection)));
