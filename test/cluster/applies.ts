// Manifests are complete: applied again, they change nothing and cause no warning.
import { applyOverlay } from './install.js';
import type { Installed } from './install.js';
import { call } from './kubectl.js';
import type { Check } from './step.js';

const warned = (name: string, warnings: readonly string[]): Check => ({
  name,
  seen: warnings.length === 0 ? 'no warning' : warnings.join(' / '),
  broken: warnings.length > 0,
});

export async function applies({ warnings }: Installed, overlay: string): Promise<Check[]> {
  const again = await applyOverlay(overlay);
  // its exit code is 1 where something differs
  const difference = await call(['diff', '--kustomize', overlay]).then(
    ({ stdout }) => stdout,
    (error: unknown) => ((error as Error).cause as { stdout?: string }).stdout ?? (error as Error).message,
  );
  const changed = difference.split('\n').filter((line) => /^[+-][^+-]/.test(line));
  return [
    ...(warnings ? [warned('`kubectl apply -k`', warnings)] : []),
    warned('`kubectl apply -k` again', again),
    {
      name: '`kubectl diff -k` after it',
      seen: difference.trim() === '' ? 'empty' : changed.join(' / '),
      broken: difference.trim() !== '',
    },
  ];
}
