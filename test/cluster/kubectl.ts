// Calls of kubectl, in the cluster of the current context.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** A Kubernetes object, as the API server tells it. */
export type Doc = Record<string, any>;

export interface Call {
  /** For its standard input. */
  input?: string;
  withinMs?: number;
}

const run = promisify(execFile);
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Where the overlays put everything. */
export const NAMESPACE = 'aizumi';
const CALL_MS = 60_000;
const MOST_OUTPUT_BYTES = 256 * 1024 * 1024;

/** @throws Error with what kubectl wrote to its standard error */
export async function call(
  args: readonly string[],
  { input, withinMs = CALL_MS }: Call = {},
): Promise<{ stdout: string; stderr: string }> {
  const running = run('kubectl', args, { cwd: ROOT, timeout: withinMs, maxBuffer: MOST_OUTPUT_BYTES });
  running.child.stdin?.end(input);
  return running.catch((error: unknown) => {
    const { code, killed, stderr = '' } = error as { code?: unknown; killed?: boolean; stderr?: string };
    const why = killed ? `not within ${withinMs} ms` : code === 'ENOENT' ? 'it must be in the PATH' : stderr.trim();
    throw new Error(`kubectl ${args.join(' ').slice(0, 200)}: ${why || String(code)}`, { cause: error });
  });
}

export const kubectl = async (...args: string[]): Promise<string> => (await call(args)).stdout.trim();
export const inAizumi = (...args: string[]): Promise<string> => kubectl('--namespace', NAMESPACE, ...args);

export const get = async (...args: string[]): Promise<Doc> =>
  JSON.parse(await kubectl('get', '--output', 'json', ...args)) as Doc;

/** Kubernetes' objects are valid YAML as JSON, and so a list of them needs no writer of YAML. */
export async function apply(...docs: Doc[]): Promise<void> {
  await call(['apply', '--filename', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: docs }),
  });
}

/** A command in a container. */
export async function exec(
  { namespace = NAMESPACE, pod, container }: { namespace?: string; pod: string; container?: string },
  command: readonly string[],
  options: Call = {},
): Promise<string> {
  const where = ['--namespace', namespace, pod, ...(container === undefined ? [] : ['--container', container])];
  const stdin = options.input === undefined ? [] : ['--stdin'];
  return (await call(['exec', ...stdin, ...where, '--', ...command], options)).stdout.trim();
}
