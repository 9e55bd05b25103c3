// NATS JetStream: one work-queue stream, a subject and a durable pull consumer for each queue.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AckPolicy, RetentionPolicy, StorageType, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { freePort } from '../../harness/redis-server.js';
import { end, folder, ready, start } from '../servers.js';
import { environmentFor, missingProgram, programPath } from './programs.js';
import { LANES, QUEUES, collector, overLanes, type Durability, type Running, type System } from './system.js';

const STREAM = 'peers';
const NANOS_PER_S = 1_000_000_000;

function configFile(durability: Durability, dir: string, port: number): string {
  const always = durability === 'fsync' ? 'sync_interval: always' : '';
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'nats.conf');
  writeFileSync(file, `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${dir}"\n${always} }\n`);
  return file;
}

function missing(durability: Durability): string | undefined {
  const program = programPath('nats-server');
  if (!program) return missingProgram('nats-server', 'nats-server');
  const file = configFile(durability, join(folder, 'nats-try'), 4222); // -t reads it and listens nowhere
  const tried = spawnSync(program, ['-c', file, '-t'], { env: environmentFor(program), encoding: 'utf8' });
  if (tried.status === 0) return undefined;
  return `this nats-server knows no "sync_interval: always" (2.10 and later do): ${tried.stderr.trim()}`;
}

async function startJetstream(durability: Durability): Promise<Running> {
  const port = await freePort();
  const program = programPath('nats-server')!;
  const file = configFile(durability, join(folder, `nats-${port}`), port);
  const child = start('nats', program, ['-c', file], environmentFor(program));
  const open = () => connect({ servers: `127.0.0.1:${port}`, timeout: 2000 });
  await ready('nats', async () => (await (await open()).close(), true));
  const connection = await open();
  const js = jetstream(connection);
  const manager = await jetstreamManager(connection);
  await manager.streams.add({
    name: STREAM,
    subjects: ['q.*'],
    retention: RetentionPolicy.Workqueue,
    storage: durability === 'fsync' ? StorageType.File : StorageType.Memory,
  });
  for (let q = 0; q < QUEUES; q++)
    await manager.consumers.add(STREAM, {
      durable_name: `q${q}`,
      filter_subject: `q.${q}`,
      ack_policy: AckPolicy.Explicit,
      ack_wait: 30 * NANOS_PER_S,
    });
  const consumers = await Promise.all(Array.from({ length: QUEUES }, (_, q) => js.consumers.get(STREAM, `q${q}`)));
  return {
    version: `nats-server ${connection.info!.version}`,
    processes: { broker: child.pid! },
    send: (all, lanes) => overLanes(all, lanes, ({ queue, payload }) => js.publish(`q.${queue}`, payload)),
    async receive(count) {
      const { done, add } = collector(count);
      const subscriptions = await Promise.all(
        consumers.map((consumer, queue) =>
          consumer.consume({
            max_messages: LANES,
            callback: (m) => void m.ackAck().then((acked) => acked && add({ queue, payload: m.string() })),
          }),
        ),
      );
      const taken = await done;
      await Promise.all(subscriptions.map((subscription) => subscription.close()));
      return taken;
    },
    async stop() {
      await connection.close();
      await end(child);
    },
  };
}

export const systems: System[] = [
  {
    name: 'NATS JetStream',
    missing,
    start: startJetstream,
  },
];
