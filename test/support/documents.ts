// The shell blocks of the documents, by name, and how a test runs one as it is printed.
//
// A comment before a block, which does not show, names it and the test that runs it:
//     <!-- run: NAME, by test/system/documents.test.ts -->
// Under a block that no test can run a line says why, for everybody to read: (Not run by a test: …)
// test/unit/documents.test.ts sees to it that every block has one or the other.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../../harness/until.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Files that a fresh checkout does not have. */
const OWN = new Set(['.git', 'data', 'coverage']);

/** Documents with blocks for users to paste. */
export const RUN_DOCUMENTS = ['README.md', 'docs/operations.md', 'docs/durability.md', 'docs/load.md', 'docs/tls.md'];

/** Whose blocks ```console are transcripts of requests: test/http/document.test.ts runs all of them and compares. */
export const TRANSCRIPT_DOCUMENTS = ['docs/protocol.md', 'README.md'];

export interface Block {
  document: string;
  /** Of its first line, for messages. */
  line: number;
  language: string;
  /** The text after the language: for a transcript, the broker that it needs. */
  info: string;
  /** As printed, without the fences. */
  text: string;
  /** By which tests ask for it; undefined where it has no comment. */
  name?: string | undefined;
  /** The test file that runs it. */
  test?: string | undefined;
  /** Why no test can. */
  notRun?: string | undefined;
}

/** In a list it is indented. */
const FENCE = /^( *)```(\S*) ?([\w-]*)/;
const RUN = /^ *<!-- run: ([\w-]+), by (\S+) -->$/;
const NOT_RUN = /^\n*\(Not run by a test: ([^)]+)/;
const SHELL = ['sh', 'bash', 'console'];

/** Every fenced block of a document, shell or not. */
export function blocksOf(document: string): Block[] {
  const lines = readFileSync(document, 'utf8').split('\n');
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, indent = '', language, info = ''] = FENCE.exec(lines[i]!) ?? [];
    if (language === undefined) continue;
    const start = i + 1;
    for (i++; lines[i] !== `${indent}\`\`\``; i++)
      if (i >= lines.length) throw new Error(`${document}:${start}: the block has no end`);
    const text = lines
      .slice(start, i)
      .map((line) => line.slice(indent.length))
      .join('\n');
    const [, name, test] = RUN.exec(lines[start - 2] ?? '') ?? [];
    const [, notRun] = NOT_RUN.exec(lines.slice(i + 1).join('\n')) ?? [];
    blocks.push({ document, line: start + 1, language, info, text, name, test, notRun });
  }
  return blocks;
}

/** Blocks that a user may paste, except transcripts. */
export const shellBlocks = (): Block[] =>
  RUN_DOCUMENTS.flatMap(blocksOf)
    .filter(({ language }) => SHELL.includes(language))
    .filter(isPasted);

const isPasted = ({ document, language }: Block): boolean =>
  language !== 'console' || !TRANSCRIPT_DOCUMENTS.includes(document);

export interface BlockResult {
  code: number;
  stdout: string;
  /** Standard output and error. */
  output: string;
}

export interface RunOptions {
  /** Replacements required by this machine: ports, hosts, and names in place of the reader's. Each must be in the block. */
  replace?: Readonly<Record<string, string>>;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** It is ended after that. */
  timeoutMs?: number;
}

/** The block's text with what the machine forces. @throws Error where there is no such block, or nothing to replace in it */
export function blockText(name: string, replace: RunOptions['replace'] = {}): string {
  const block = shellBlocks().find((each) => each.name === name);
  if (!block) throw new Error(`no block of ${RUN_DOCUMENTS.join(', ')} is named ${name}`);
  return Object.entries(replace).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`${block.document}:${block.line}: there is no ${from} in ${name}`);
    return text.replaceAll(from, to);
  }, block.text);
}

/** Gives the block to a shell as a person pastes it: each line is run, whatever became of the one before. */
export function runBlock(name: string, options: RunOptions = {}): Promise<BlockResult> {
  return runShell(blockText(name, options.replace), options);
}

export function runShell(text: string, { cwd, env, timeoutMs = 60_000 }: RunOptions = {}): Promise<BlockResult> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: env ?? process.env, timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 };
    execFile('sh', ['-c', text], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      if (typeof code !== 'number') reject(new Error(`${text}\n${stdout}${stderr}`, { cause: error }));
      else resolve({ code, stdout: stdout.trim(), output: `${stdout}${stderr}` });
    });
  });
}

export interface RunningBlock {
  /** All its output. */
  readonly output: string;
  /** Of the broker that it started. */
  readonly port: number;
  /** Ctrl+C to all processes of the block. Resolves when they have ended. */
  stop(): Promise<void>;
}

/** The same for a block that ends with a command in the foreground, `npm start`; resolves when the broker serves. */
export async function startBlock(name: string, { replace, cwd, env }: RunOptions = {}): Promise<RunningBlock> {
  const child = spawn('sh', ['-c', blockText(name, replace)], {
    cwd,
    env: env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
  const closed = once(child, 'close');
  const end = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, signal);
    } catch {
      // the whole group has ended already
    }
  };
  const kill = (): void => end('SIGKILL');
  process.once('exit', kill);
  const line = await until(
    `${name} starts aizumi`,
    () => {
      if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}:\n${output}`);
      return output.split('\n').find((each) => each.includes('aizumi listens on') && each.endsWith('}'));
    },
    20_000,
  ).catch((error: unknown) => {
    kill();
    throw new Error(`${String(error)}\n${output}`, { cause: error });
  });
  return {
    get output() {
      return output;
    },
    port: (JSON.parse(line) as { port: number }).port,
    async stop() {
      end('SIGINT');
      await closed;
      process.off('exit', kill);
    },
  };
}

/** A folder in which the blocks of the documents work as in a checkout, and leave what they make. Removed by the caller. */
export function makeCheckout(): string {
  const folder = mkdtempSync(join(tmpdir(), 'aizumi-checkout-'));
  // dist also where it is not there: `npm start` builds it
  const names = new Set([...readdirSync(ROOT).filter((each) => !OWN.has(each)), 'dist']);
  for (const name of names) symlinkSync(join(ROOT, name), join(folder, name));
  return folder;
}
