// Reports the progress of a run on standard error: a bar on a terminal, otherwise a line now and then.
import { SingleBar } from 'cli-progress';
import { latencyMs, total } from './tally.js';
import type { Tally } from './tally.js';

export interface Progress {
  show(name: string, fraction: number, tally: Tally): void;
  /** Removes the bar, so that other lines can be printed. */
  clear(): void;
}

const LINE_MS = 10_000;

export const createProgress = (): Progress => (process.stderr.isTTY ? bar() : lines());

function bar(): Progress {
  let single: SingleBar | undefined;
  let shown = '';
  const clear = (): void => {
    single?.stop();
    single = undefined;
  };
  return {
    show(name, fraction, tally) {
      if (name !== shown) clear();
      shown = name;
      if (!single) {
        // cli-progress writes to standard error by default
        single = new SingleBar({
          format: '{name} {bar} {percentage}% {figures}',
          clearOnComplete: true,
          hideCursor: true,
        });
        single.start(1, 0, { name, figures: '' });
      }
      single.update(fraction, { name, figures: figures(tally) });
    },
    clear,
  };
}

function lines(): Progress {
  let nextMs = performance.now() + LINE_MS;
  return {
    show(name, fraction, tally) {
      if (performance.now() < nextMs) return;
      nextMs = performance.now() + LINE_MS;
      console.error(`${name}: ${Math.round(fraction * 100)} %, ${figures(tally)}`);
    },
    clear: () => undefined,
  };
}

function figures({ all }: Tally): string {
  const failures = total(all.failures);
  const wrong = failures > 0 ? `, ${failures.toLocaleString('en')} failures` : '';
  return `${all.requests.toLocaleString('en')} requests, p99 ${latencyMs(all, 99).toFixed(1)} ms${wrong}`;
}
