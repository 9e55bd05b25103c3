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

/** A Kubernetes object, as it was written. */
export type Doc = Record<string, any>;

export const OVERLAYS = ['local', 'production', 'production-keda', 'production-monitored'];

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** What overlays are made of. */
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

/** @throws Error that says what to do when there is no kubectl, or what kustomize says */
export async function render(overlay: string): Promise<Doc[]> {
  const copy = await copyWithKeys();
  const rendered = run('kubectl', ['kustomize', join(copy, 'k8s/overlays', overlay)]);
  await rendered.catch(() => undefined).finally(() => rm(copy, { recursive: true }));
  const { stdout } = await rendered.catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error('kubectl 1.27 or newer must be in the PATH: https://kubernetes.io/docs/tasks/tools/', {
      cause: error,
    });
  });
  return parseAllDocuments(stdout, { uniqueKeys: true }).map((doc) => {
    if (doc.errors[0] !== undefined) throw doc.errors[0];
    return unfolded(doc.toJS({ maxAliasCount: 0 }) as Doc);
  });
}

/** kustomize folds base64 that is long. API servers take it so, the model does not. */
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

/** What makes pods. */
export const workloads = (docs: Doc[]): Doc[] => ofKind(docs, 'Deployment', 'StatefulSet');
export const containersOf = (workload: Doc): Doc[] => workload.spec.template.spec.containers as Doc[];
