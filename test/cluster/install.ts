// Puts production into the cluster, as docs/operations.md says, and the test's own pods beside it; takes both away again.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, newKey } from '../../src/access/api-key.js';
import { addEntry } from '../../src/access/key-entries.js';
import { until } from '../../harness/until.js';
import { NAMESPACE, apply, call, get, kubectl } from './kubectl.js';
import type { Doc } from './kubectl.js';
import { pods, whole } from './pods.js';

/** Whose pods may reach aizumi, and one whose pods may not. */
export const CLIENTS = 'aizumi-test-clients';
export const STRANGERS = 'aizumi-test-strangers';
/** What is installed by this program bears it, and nothing else is ever touched or deleted. */
const MARK = 'aizumi-cluster-test';
const LOAD = 'app=load';
const KILLER = 'app=killer';
const READY_MS = 180_000;

export const OVERLAY = 'k8s/overlays/production';

export interface Installed {
  /** Of the Service, which needs no DNS. */
  url: string;
  /** May do everything. */
  key: string;
  /** What kubectl warned of at the first apply; undefined when production was installed before. */
  warnings: string[] | undefined;
}

/** @throws Error when somebody else's aizumi is there */
export async function install(image: string, overlay: string): Promise<Installed> {
  const found = await ownNamespace();
  let warnings: string[] | undefined;
  if (found === undefined) {
    await kubectl('apply', '--filename', 'k8s/base/namespace.yaml');
    await kubectl('label', 'namespace', NAMESPACE, `${MARK}=true`);
    const password = randomBytes(24).toString('hex');
    const url = `redis+sentinel://:${password}@redis-0,redis-1,redis-2/mymaster`;
    await kubectl(
      ...['--namespace', NAMESPACE, 'create', 'secret', 'generic', 'aizumi-redis'],
      ...[`--from-literal=password=${password}`, `--from-literal=url=${url}`],
    );
    const key = newKey();
    await setKeys({ main: key });
    warnings = await applyOverlay(overlay);
    await applyClients(image, key);
  }
  await Promise.all([
    until('the load pods are ready', () => areReady(LOAD, CLIENTS), READY_MS),
    until('the stranger is ready', () => areReady(LOAD, STRANGERS), READY_MS),
    whole(),
  ]);
  const secret = await get('secret', 'key', '--namespace', CLIENTS);
  return {
    url: await urlOfService(),
    key: Buffer.from(secret.data.key as string, 'base64').toString(),
    warnings,
  };
}

/** By its address: who sends load must not wait for DNS. */
export async function urlOfService(): Promise<string> {
  const { spec } = await get('service', 'aizumi', '--namespace', NAMESPACE);
  const address = spec.clusterIP as string;
  return `http://${address.includes(':') ? `[${address}]` : address}:${spec.ports[0].port}`;
}

/** @returns undefined when there is none */
async function ownNamespace(): Promise<Doc | undefined> {
  const { items } = (await get('namespaces')) as { items: Doc[] };
  const found = items.find(({ metadata }) => metadata.name === NAMESPACE);
  if (found && found.metadata.labels?.[MARK] !== 'true')
    throw new Error(`the namespace ${NAMESPACE} is there already and not this test's: it is not touched`);
  return found;
}

/** @returns what kubectl warned of */
export async function applyOverlay(overlay: string): Promise<string[]> {
  const { stderr } = await call(['apply', '--kustomize', overlay]);
  return stderr.split('\n').filter(Boolean);
}

/** The Secret of API keys, with these, each of which may do everything, and no others. */
export async function setKeys(keys: Readonly<Record<string, string>>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'aizumi-keys-'));
  try {
    const file = join(folder, 'keys.yaml');
    for (const [name, key] of Object.entries(keys))
      addEntry(file, { name, sha256: digestOf(key), send: ['*'], receive: ['*'], administer: ['*'] });
    const { stdout } = await call([
      ...['--namespace', NAMESPACE, 'create', 'secret', 'generic', 'aizumi-api-keys', `--from-file=${file}`],
      ...['--dry-run=client', '--output', 'yaml'],
    ]);
    await call(['apply', '--filename', '-'], { input: stdout });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const areReady = async (selector: string, namespace: string): Promise<boolean> => {
  const found = await pods(selector, namespace);
  return found.length > 0 && found.every(({ isReady }) => isReady);
};

/** The programs of the folder pods, and a pod on every node that runs them: the image of aizumi has Node. */
async function applyClients(image: string, key: string): Promise<void> {
  const folder = new URL('pods/', import.meta.url);
  const programs = Object.fromEntries(
    readdirSync(folder).map((file) => [file, readFileSync(new URL(file, folder), 'utf8')]),
  );
  const namespaceOf = (name: string, labels: object): Doc => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { [MARK]: 'true', ...labels } },
  });
  const inBoth = [CLIENTS, STRANGERS].flatMap((namespace) => [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'programs', namespace }, data: programs },
    daemons('load', namespace, image, { runAsUser: 1000, runAsNonRoot: true }),
  ]);
  await apply(
    namespaceOf(CLIENTS, { 'aizumi-client': 'true' }),
    namespaceOf(STRANGERS, {}),
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'key', namespace: CLIENTS }, stringData: { key } },
    ...inBoth,
  );
  await apply(daemons('killer', CLIENTS, image, { privileged: true, runAsUser: 0 }, { hostPID: true }));
}

const IDLE = "process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 2 ** 30)";

function daemons(app: string, namespace: string, image: string, securityContext: object, more: object = {}): Doc {
  const container = {
    name: 'main',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', IDLE],
    securityContext,
    volumeMounts: [{ name: 'programs', mountPath: '/programs' }],
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: app, namespace },
    spec: {
      selector: { matchLabels: { app } },
      template: {
        metadata: { labels: { app } },
        spec: {
          ...more,
          terminationGracePeriodSeconds: 1,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          // a node that was away keeps its pod
          tolerations: [{ operator: 'Exists', effect: 'NoExecute' }],
          containers: [container],
          volumes: [{ name: 'programs', configMap: { name: 'programs' } }],
        },
      },
    },
  };
}

/** A pod that sends load, on another node than the given one where there is another. */
export async function loadPod(exceptNode?: string, namespace = CLIENTS): Promise<string> {
  const found = (await pods(LOAD, namespace)).filter(({ isReady }) => isReady);
  const chosen = found.find(({ node }) => node !== exceptNode) ?? found[0];
  if (!chosen) throw new Error(`no pod of ${namespace} is ready`);
  return chosen.name;
}

/** The pod on a node that may kill processes there; undefined where the cluster does not admit it. */
export const killerOn = async (node: string): Promise<string | undefined> =>
  (await pods(KILLER, CLIENTS)).find((pod) => pod.node === node && pod.isReady)?.name;

/** Deletes the namespaces, and what is in them. */
export async function remove(): Promise<void> {
  await ownNamespace();
  const all = [NAMESPACE, CLIENTS, STRANGERS];
  await call(['delete', 'namespace', ...all, '--ignore-not-found', '--timeout=170s'], { withinMs: READY_MS });
}
