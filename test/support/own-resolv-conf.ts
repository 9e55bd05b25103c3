// A process with an /etc/resolv.conf of its own, in a mount namespace of its own.
import { spawnSync } from 'node:child_process';

/** The prefix of a command that achieves this, without effect on other processes. */
export const withResolvConf = (file: string): string[] => [
  'unshare',
  '--mount',
  'sh',
  '-c',
  'mount --bind "$0" /etc/resolv.conf && exec "$@"',
  file,
];

/** Whether this is possible: on Linux, as root. */
export function canHaveResolvConf(): boolean {
  const [command, ...args] = withResolvConf('/dev/null');
  return spawnSync(command!, [...args, 'true'], { stdio: 'ignore' }).status === 0;
}
