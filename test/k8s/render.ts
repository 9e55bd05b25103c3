// k8s/overlays → the documents that would be applied.
import { execFile } from 'node:child_process';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { digestOf, newKey } from '../../src/access/api-key.js';
import { addEntry } from '../../src/access/key-entries.js';

/** A Kubernetes object as written in YAML. */
export type Doc = Record<string, any>;

export const OVERLAYS = [
  'external-redis',
  'local',
  'production',
  'production-backup',
  'production-full',
  'production-gateway',
  'production-keda',
  'production-monitored',
];
/** The namespace. It is in no overlay, so that deleting an overlay keeps it and the volume claims in it. */
export const NAMESPACE = 'aizumi';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** The parts of overlays. */
const SOURCES = ['k8s', 'deploy', 'src/redis'];

/** A copy in which somebody has followed the overlay's first lines: the local one has keys, which are not in the repository. */
async function copyWithKeys(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'aizumi-k8s-'));
  for (const source of SOURCES) await cp(join(ROOT, source), join(copy, source), { recursive: true });
  const file = join(copy, 'k8s/overlays/local/keys.yaml');
  await rm(file, { force: true });
  addEntry(file, { name: 'me', sha256: digestOf(newKey()), send: ['*'], receive: ['*'], administer: ['*'] });
  return copy;
}

/** The documents of an overlay. */
export const render = (overlay: string): Promise<Doc[]> => renderFolder(`k8s/overlays/${overlay}`);

/** @throws Error that says what to do when there is no kubectl, or what kustomize says, if only to warn */
export async function renderFolder(folder: string): Promise<Doc[]> {
  const copy = await copyWithKeys();
  const rendered = run('kubectl', ['kustomize', join(copy, folder)]);
  await rendered.catch(() => undefined).finally(() => rm(copy, { recursive: true }));
  const { stdout, stderr } = await rendered.catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error('kubectl 1.27 or newer must be in the PATH: https://kubernetes.io/docs/tasks/tools/', {
      cause: error,
    });
  });
  if (stderr !== '') throw new Error(`kustomize warns: ${stderr}`);
  return parseAllDocuments(stdout, { uniqueKeys: true }).map((doc) => {
    if (doc.errors[0] !== undefined) throw doc.errors[0];
    return unfolded(doc.toJS({ maxAliasCount: 0 }) as Doc);
  });
}

/** kustomize wraps long base64. API servers accept that, the model does not. */
function unfolded(doc: Doc): Doc {
  if (doc.kind !== 'Secret') return doc;
  const data = Object.entries(doc.data as Record<string, string>).map(([name, text]) => [
    name,
    text.replaceAll('\n', ''),
  ]);
  return { ...doc, data: Object.fromEntries(data) as object };
}

export const nameOf = ({ kind, metadata }: Doc): string => `${String(kind)} ${String(metadata?.name)}`;
export const ofKind = (docs: Doc[], ...kinds: string[]): Doc[] =>
  docs.filter(({ kind }) => kinds.includes(String(kind)));

/** Objects that create pods; a CronJob is represented by its Job. */
export const workloads = (docs: Doc[]): Doc[] =>
  ofKind(docs, 'Deployment', 'StatefulSet', 'Job', 'CronJob').map((doc) =>
    doc.kind === 'CronJob' ? { ...doc, spec: doc.spec.jobTemplate.spec as Doc } : doc,
  );
export const containersOf = (workload: Doc): Doc[] => workload.spec.template.spec.containers as Doc[];
