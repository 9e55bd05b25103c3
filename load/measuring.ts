// What all that measure share: where the worker and its Redis's settings are, and what a part is.
import { fileURLToPath } from 'node:url';
import type { PartName, Rows } from './results.js';

export const REPOSITORY = fileURLToPath(new URL('../', import.meta.url));
export const PROGRAM = fileURLToPath(new URL('../dist/index.js', import.meta.url));
export const REDIS_CONF = fileURLToPath(new URL('../src/redis/redis.conf', import.meta.url));

export interface MeasureOptions {
  /** Fewer rounds: to see that it works. */
  quick: boolean;
  /** Progress. */
  say: (text: string) => void;
}

export type Measure<Name extends PartName> = (options: MeasureOptions) => Promise<Rows[Name]>;

/** What a module load/measure-*.ts exports as `parts`. */
export type Parts = { [Name in PartName]?: Measure<Name> };
