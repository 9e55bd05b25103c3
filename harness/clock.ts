// The library that lets the clock of a Redis jump, built when it is first needed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./clock.c', import.meta.url));

/** Why a scenario was left out, where {@link clockLibrary} returns undefined. */
export const NO_CLOCK = "a Redis's clock can jump only on Linux with a C compiler (apt-get install gcc libc6-dev)";

/** For `clock` of TestServerOptions; undefined if it cannot be built here. @throws Error if there is a compiler and it fails */
export function clockLibrary(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const dir = mkdtempSync(join(tmpdir(), 'aizumi-clock-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  const library = join(dir, 'clock.so');
  const built = spawnSync('cc', ['-O2', '-Wall', '-Werror', '-shared', '-fPIC', '-o', library, SOURCE]);
  if (built.error) return undefined;
  if (built.status !== 0) throw new Error(`cc ${SOURCE}:\n${built.stderr.toString()}`);
  return library;
}
