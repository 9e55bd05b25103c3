// Backup and restore, by the commands of docs/operations.md; and an installation that is deleted and applied again.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { until } from '../../harness/until.js';
import { applyOverlay, urlOfService } from './install.js';
import type { Installed } from './install.js';
import { NAMESPACE, ROOT, call, get, inAizumi, kubectl } from './kubectl.js';
import type { Doc } from './kubectl.js';
import { count, countIn, drain, startLoad } from './load.js';
import type { Run } from './load.js';
import { REDIS, pods, whole } from './pods.js';
import type { Check } from './step.js';

const COMPONENT = 'k8s/components/backup';
const RESTORE = 'k8s/restore';
const JOB = 'aizumi-backup-test';
const ADDRESS = 4_294_964_000;
const SEND_MS = 3_000;
const DONE_S = 300;
const GONE_MS = 130_000;
const DELETED_MS = 180_000;

/** Why no claim more than those of the nodes can be had; undefined when one can. */
export async function noVolume(): Promise<string | undefined> {
  const [classes, volumes] = (await Promise.all([get('storageclasses'), get('persistentvolumes')])) as {
    items: Doc[];
  }[];
  const standard = classes!.items.find(
    ({ metadata }) => metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true',
  );
  if (!standard) return 'the cluster has no default storage class';
  if (standard.provisioner !== 'kubernetes.io/no-provisioner') return undefined;
  const isFree = volumes!.items.some(({ status }) => status.phase === 'Available');
  return isFree ? undefined : 'the cluster makes no volumes, and has none left for a backup';
}

/** SENDs for a while. @returns the ids that were acknowledged */
async function send(installed: Installed, address: number): Promise<Run[]> {
  const load = await startLoad(installed, { address });
  await pause(SEND_MS);
  return (await load.stop()).acknowledged;
}

/** The overlay with the component, as somebody's own overlay has it. */
async function withBackups(overlay: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'aizumi-backup-'));
  const from = (path: string): string => relative(folder, join(ROOT, path));
  const text = `resources: ['${from(overlay)}']\ncomponents: ['${from(COMPONENT)}']\n`;
  await writeFile(join(folder, 'kustomization.yaml'), text);
  return folder;
}

/** @param jobs a name, or how they are selected */
const waitFor = (...jobs: string[]): Promise<unknown> =>
  call(['--namespace', NAMESPACE, 'wait', '--for=condition=Complete', 'job', ...jobs, `--timeout=${DONE_S}s`], {
    withinMs: (DONE_S + 10) * 1_000,
  });

async function restore(): Promise<void> {
  await inAizumi('scale', 'statefulset', 'redis', '--replicas=0');
  await call(['--namespace', NAMESPACE, 'wait', '--for=delete', 'pod', '--selector', REDIS, '--timeout=120s'], {
    withinMs: GONE_MS,
  });
  await kubectl('apply', '--kustomize', RESTORE);
  await waitFor('--selector', 'app.kubernetes.io/name=redis-restore');
  await kubectl('delete', '--kustomize', RESTORE);
  await inAizumi('scale', 'statefulset', 'redis', '--replicas=3');
  await whole();
}

export async function backup(installed: Installed, overlay: string): Promise<Check[]> {
  const before = await send(installed, ADDRESS);
  const folder = await withBackups(overlay);
  await inAizumi('apply', '--filename', join(COMPONENT, 'claim.yaml'));
  const warnings = await applyOverlay(folder).finally(() => rm(folder, { recursive: true }));
  await inAizumi('create', 'job', '--from=cronjob/aizumi-backup', JOB);
  await waitFor(JOB);
  const said = await inAizumi('logs', `job/${JOB}`, '--tail=1');
  await inAizumi('delete', 'job', JOB);
  const since = await send(installed, ADDRESS + 1);
  await restore();
  const restored = countIn(before, await drain(installed, ADDRESS));
  const later = await drain(installed, ADDRESS + 1);
  return [
    { name: 'a backup by the CronJob', seen: [said, ...warnings].join(' / '), broken: warnings.length > 0 },
    {
      name: 'restored',
      seen: `${restored} of ${count(before)} messages sent before the backup, ${count(later)} of ${count(since)} sent after it`,
      broken: restored < count(before),
    },
  ];
}

/** `kubectl delete -k` is how somebody takes an installation away, and the messages must outlive it. */
export async function deleteAndApply(installed: Installed, overlay: string): Promise<Check[]> {
  const name = '`kubectl delete -k`, and `apply -k` again';
  const rendered = await kubectl('kustomize', overlay);
  if (/^kind: Namespace$/m.test(rendered))
    return [{ name, seen: 'not run: it would delete the Namespace, with all claims', broken: true }];
  const before = await send(installed, ADDRESS + 2);
  await call(['delete', '--kustomize', overlay], { withinMs: DELETED_MS });
  await until('no Redis runs', async () => (await pods(REDIS)).length === 0, GONE_MS);
  await applyOverlay(overlay);
  await whole();
  installed.url = await urlOfService();
  const kept = countIn(before, await drain(installed, ADDRESS + 2));
  return [{ name, seen: `${kept} of ${count(before)} messages are there`, broken: kept < count(before) }];
}
