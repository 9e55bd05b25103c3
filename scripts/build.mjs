// src/ → dist/: TypeScript compiled, .lua and .conf files copied beside it. dist/.stamp says from which sources.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, lstatSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fingerprint, root, stamp } from './fingerprint.mjs';

// taken before the compiler reads: what changes meanwhile is built next time
const sources = fingerprint();
const src = join(root, 'src');
const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

if (existsSync(dist)) {
  const filter = (path) => lstatSync(path).isDirectory() || /\.(lua|conf)$/.test(path);
  cpSync(src, dist, { recursive: true, filter });
}
writeFileSync(stamp, sources);
