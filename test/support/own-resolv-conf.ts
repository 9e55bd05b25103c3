// A process with an /etc/resolv.conf of its own, in a mount namespace of its own.
import { spawnSync } from 'node:child_process';

/** What a command is put behind for that; of no effect on any other process. */
export const withResolvConf = (file: string): string[] => [
  'unshare',
  '--mount',
  'sh',
  '-c',
  'mount --bind "$0" /etc/resolv.conf && exec "$@"',
  file,
];

/** Where that can be done: on Linux, as root. */
export function canHaveResolvConf(): boolean {
  const [command, ...args] = withResolvConf('/dev/null');
  return spawnSync(command!, [...args, 'true'], { stdio: 'ignore' }).status === 0;
}
