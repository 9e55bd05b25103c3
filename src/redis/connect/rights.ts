// Checks whether Redis's ACL allows aizumi's user every command that the scripts and the code use. This is checked before any
// request, because a script that is refused a command half-way has already written some of its keys.
import { Cluster } from 'ioredis';
import type { Redis } from 'ioredis';
import type { Script } from './connect.js';

/** Commands that the code sends itself, and whose permission a script can check. */
export const OWN_COMMANDS = [
  'EXISTS',
  'GET',
  'HGET',
  'INFO',
  'PING',
  'SET',
  'XADD',
  'XLEN',
  'ZADD',
  'ZCARD',
  'ZMSCORE',
  'ZRANGE',
  'ZREM',
];
/** Commands that a script cannot call, in a form that has no effect. */
export const PLAIN_COMMANDS: readonly (readonly string[])[] = [
  ['EVALSHA', '0000000000000000000000000000000000000000', '0'],
  ['WAIT', '0', '1'],
  ['CLIENT', 'ID'],
  ['CLIENT', 'TRACKING', 'OFF'],
];

/** The same, in a Cluster only. */
export const CLUSTER_COMMANDS: readonly (readonly string[])[] = [['ASKING']];

/**
 * Calls each command with more and more arguments until their number is right. Redis then checks the ACL first, and after that
 * refuses any write because of the script's flag. All arguments are the name of one key, so it does not matter which are keys.
 */
const PROBE = `#!lua flags=no-writes,allow-stale
local missing = {}
for i = 2, #ARGV do
  local call = {}
  for word in string.gmatch(ARGV[i], '%a+') do call[#call + 1] = word end
  for _ = 1, 10 do
    local reply = redis.pcall(unpack(call))
    local refusal = type(reply) == 'table' and reply.err or ''
    if string.find(refusal, "The user executing the script can't", 1, true)
      or string.find(refusal, 'ACL failure in script', 1, true) then
      missing[#missing + 1] = ARGV[i]
      break
    end
    if not string.find(refusal, 'number of arg', 1, true) then break end
    call[#call + 1] = ARGV[1]
  end
end
return missing`;

/** The commands that scripts call, read from their text: `XADD`, `XGROUP CREATE`. */
export function commandsOf(scripts: Record<string, Script>): string[] {
  const calls = Object.values(scripts).flatMap(({ lua }) => [
    ...lua.matchAll(/(?:redis\.p?call\(|\{ )'([A-Z]{2,})'(?:, '([A-Z]+)')?/g),
  ]);
  const names = calls.map(([, name = '', word]) =>
    ['MEMORY', 'XGROUP', 'XINFO'].includes(name) ? `${name} ${word}` : name,
  );
  return [...new Set(names)].sort();
}

/**
 * @returns the rights that the user lacks, in the ACL's syntax: `+xgroup|create`
 * @throws Error when Redis cannot be reached
 */
export async function missingRights(
  redis: Redis | Cluster,
  scripts: Record<string, Script>,
  keyPrefix: string,
): Promise<string[]> {
  const isCluster = redis instanceof Cluster;
  const nodes = isCluster ? redis.nodes('master') : [redis];
  const plain = isCluster ? [...PLAIN_COMMANDS, ...CLUSTER_COMMANDS] : PLAIN_COMMANDS;
  const missing = await Promise.all(nodes.map((node) => missingAt(node, scripts, plain, keyPrefix)));
  return [...new Set(missing.flat())].sort();
}

async function missingAt(
  redis: Redis,
  scripts: Record<string, Script>,
  plainCommands: typeof PLAIN_COMMANDS,
  keyPrefix: string,
): Promise<string[]> {
  const commands = [...new Set([...commandsOf(scripts), ...OWN_COMMANDS])];
  const plain = plainCommands.map(async ([name = '', ...words]): Promise<string[]> => {
    const right = name === 'CLIENT' ? `${name} ${words[0]}` : name;
    return (await isRefused(redis.call(name, ...words))) ? [right] : [];
  });
  const asked = redis.eval(PROBE, 0, `${keyPrefix}:rights`, ...commands).then(
    (missing) => missing as string[],
    (error: unknown) => {
      if (isNoPermission(error)) return ['EVAL'];
      throw error;
    },
  );
  const [inScripts, ...others] = await Promise.all([asked, ...plain]);
  return [...inScripts, ...others.flat()].map((command) => `+${command.toLowerCase().replace(' ', '|')}`);
}

const isNoPermission = (error: unknown): boolean => error instanceof Error && error.message.startsWith('NOPERM');

/** Any other reply, errors included, shows that the ACL allows the command. */
const isRefused = (reply: Promise<unknown>): Promise<boolean> => reply.then(() => false, isNoPermission);
