// npm run test:cluster -- [--only NAMES] [--cut COMMAND --mend COMMAND] …; --help tells the rest.
// A walk: options → install → steps, one after the other → table → remove.
import { mendPending } from './event.js';
import { install, remove } from './install.js';
import { kubectl } from './kubectl.js';
import { options } from './options.js';
import type { Options } from './options.js';
import { origin } from './origin.js';
import { isRow } from './step.js';
import type { Context } from './step.js';
import { STEPS } from './steps.js';
import { details, markdown, violations } from './table.js';
import type { Result } from './table.js';

async function runStep(name: string, context: Context): Promise<Result[]> {
  const { unless, run } = STEPS[name]!;
  const why = await unless?.(context);
  if (why !== undefined) {
    console.log(`  skipped: ${why}`);
    return [{ skipped: name, why }];
  }
  const results = await run(context);
  for (const result of results)
    console.log(isRow(result) ? details(result) : `  ${result.broken ? 'BROKEN: ' : ''}${result.name}: ${result.seen}`);
  return results;
}

async function runAll({ steps, image, overlay, tool, isAlone, keep, logs, perSecond }: Options): Promise<Result[]> {
  console.log(`cluster: ${await kubectl('config', 'current-context')}, ${new Date().toISOString()}`);
  const results: Result[] = [];
  try {
    const installed = await install(image, overlay);
    const context = { installed, overlay, tool, isAlone, logs, perSecond };
    for (const name of steps) {
      console.log(`${new Date().toISOString().slice(11, 19)} ${name}`);
      // one step that cannot be run is no reason to leave out the others
      const failed = (error: unknown): Result[] => {
        console.log(`  FAILED: ${(error as Error).message}`);
        return [{ name, seen: `failed: ${(error as Error).message}`, broken: true }];
      };
      results.push(...(await runStep(name, context).catch(failed)));
    }
  } finally {
    if (!keep) await remove();
  }
  return results;
}

const chosen = options(process.argv.slice(2));
if (chosen) {
  process.once('SIGINT', () => {
    console.log('interrupted: mends and removes');
    void mendPending()
      .then(() => (chosen.keep ? undefined : remove()))
      .finally(() => process.exit(130));
  });
  const results = await runAll(chosen);
  console.log(`\n${markdown(results)}\n\n${await origin()}\n`);
  const broken = violations(results);
  for (const violation of broken) console.log(`BROKEN: ${violation}`);
  console.log(broken.length === 0 ? 'every promise was kept' : `${broken.length} promises were broken`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
