// The shell blocks of the documents, by name, and how a test runs one as it is printed.
//
// A comment before a block, which does not show, names it and the test that runs it:
//     <!-- run: NAME, by test/system/documents.test.ts -->
// Under a block that no test can run a line says why, for everybody to read: (Not run by a test: …)
// test/unit/documents.test.ts sees to it that every block has one or the other.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Whose blocks are pasted by people. */
export const RUN_DOCUMENTS = ['README.md', 'docs/operations.md', 'docs/durability.md', 'docs/tls.md'];

export interface ShellBlock {
  document: string;
  /** Of its first line, for messages. */
  line: number;
  language: string;
  /** As printed, without the fences. */
  text: string;
  /** By which tests ask for it; undefined where it has no comment. */
  name?: string | undefined;
  /** The file that runs it. */
  test?: string | undefined;
  /** Why no test can. */
  notRun?: string | undefined;
}

const FENCE = /^```(\S*)/;
const RUN = /^<!-- run: ([\w-]+), by (\S+) -->$/;
const NOT_RUN = /^\(Not run by a test: (.+)$/;
const SHELL = ['sh', 'bash', 'console'];

/** Every fenced block of a document, shell or not. */
export function blocksOf(document: string): ShellBlock[] {
  const lines = readFileSync(document, 'utf8').split('\n');
  const blocks: ShellBlock[] = [];
  for (let i = 0; i < lines.length; i++) {
    const [, language] = FENCE.exec(lines[i]!) ?? [];
    if (language === undefined) continue;
    const start = i + 1;
    for (i++; lines[i] !== '```'; i++)
      if (i >= lines.length) throw new Error(`${document}:${start}: the block has no end`);
    const [, name, test] = RUN.exec(lines[start - 2] ?? '') ?? [];
    // directly under the block, or after one blank line
    const [, notRun] = NOT_RUN.exec([lines[i + 1], lines[i + 2]].find(Boolean) ?? '') ?? [];
    blocks.push({ document, line: start + 1, language, text: lines.slice(start, i).join('\n'), name, test, notRun });
  }
  return blocks;
}

export const shellBlocks = (): ShellBlock[] =>
  RUN_DOCUMENTS.flatMap(blocksOf).filter(({ language }) => SHELL.includes(language));

export interface BlockResult {
  code: number;
  stdout: string;
  /** Standard output and error. */
  output: string;
}

export interface RunOptions {
  /** What this machine forces: ports, hosts and names that stand for the reader's own. Each must be in the block. */
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
