// k8s/overlays → the documents that would be applied.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

/** A Kubernetes object, as it was written. */
export type Doc = Record<string, any>;

export const OVERLAYS = ['local', 'production', 'production-keda', 'production-monitored'];

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../k8s/overlays/', import.meta.url));

/** @throws Error that says what to do when there is no kubectl, or what kustomize says */
export async function render(overlay: string): Promise<Doc[]> {
  const { stdout } = await run('kubectl', ['kustomize', ROOT + overlay]).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error('kubectl 1.27 or newer must be in the PATH: https://kubernetes.io/docs/tasks/tools/', {
      cause: error,
    });
  });
  return parseAllDocuments(stdout, { uniqueKeys: true }).map((doc) => {
    if (doc.errors[0] !== undefined) throw doc.errors[0];
    return doc.toJS({ maxAliasCount: 0 }) as Doc;
  });
}

export const nameOf = ({ kind, metadata }: Doc): string => `${String(kind)} ${String(metadata?.name)}`;
export const ofKind = (docs: Doc[], ...kinds: string[]): Doc[] =>
  docs.filter(({ kind }) => kinds.includes(String(kind)));

/** What makes pods. */
export const workloads = (docs: Doc[]): Doc[] => ofKind(docs, 'Deployment', 'StatefulSet');
export const containersOf = (workload: Doc): Doc[] => workload.spec.template.spec.containers as Doc[];
