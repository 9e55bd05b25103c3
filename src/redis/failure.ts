// The one place that decides what an error from Redis or its connection means for the request.
import { RETRY_AFTER_S } from '../config/limits.js';
import { BrokerError } from '../errors.js';
import { CLUSTER_NOT_SENT, NOT_SENT, TOO_MANY_REDIRECTIONS } from './private-api.js';
import { isTransient } from './connect/steady-primary.js';

/**
 * Errors with which Redis refuses a command before it does anything; it may accept the command later.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors
 */
const REFUSED: Record<string, string> = {
  OOM: 'Redis is out of memory: receive and free messages, or give Redis more memory',
  READONLY: 'Redis is read-only (a replica, or a fail-over is under way): try again',
  MISCONF: 'Redis cannot write to its disk: free disk space, then try again',
  LOADING: 'Redis is loading its data: try again',
  MASTERDOWN: 'Redis has lost its primary: try again',
  NOREPLICAS: 'Redis has too few replicas to accept writes: try again',
  // ioredis assumes that a script is loaded even if its EVAL was refused (by NOREPLICAS, for example); the next try loads it
  NOSCRIPT: 'Redis has lost its scripts and they could not be loaded again yet: try again',
  BUSY: 'Redis is busy with a script: try again',
  CLUSTERDOWN: 'The Redis Cluster is down: try again',
  MOVED: 'The Redis Cluster has moved this queue: try again',
  ASK: 'The Redis Cluster is moving this queue: try again',
  TRYAGAIN: 'The Redis Cluster is moving this queue: try again',
  NOAUTH: 'Redis requires a password: set it in AIZUMI_REDIS_URL',
  WRONGPASS: 'Redis rejects the password in AIZUMI_REDIS_URL',
  NOPERM: "Redis's ACL does not let aizumi do this: give its user the commands and keys it needs",
};

/** The text of NOPERM when a command inside a script is refused, in Redis 7.0 and in later versions. */
const ACL_IN_SCRIPT = /^ERR The user executing the script can't|ACL failure in script/;

/** ioredis's errors for a command that it has not sent (enableOfflineQueue: false), or that every node redirected. */
const NEVER_SENT = new RegExp(`^(${NOT_SENT}|${CLUSTER_NOT_SENT}|${TOO_MANY_REDIRECTIONS})`);

/**
 * What Redis appends to an error that ended a script: the script had begun, and Redis does not undo its writes. The error of a
 * script that was refused as a whole, or that returns an error of its own, has no such suffix. Where a transient state of Redis
 * ({@link isTransient}) refuses the writes, it lasts for the whole script, so none of them was made.
 */
const INSIDE_SCRIPT = / script: .*on @user_script:\d+/;

/**
 * Turns an error of ioredis into the error that the client receives.
 * @returns `unavailable` with outcome `not_done` (refused, or never sent) or `unknown` (sent, no reply; or a script that
 *   stopped half-way); any other error unchanged, since it is a fault of aizumi itself
 */
export function redisFailure(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof BrokerError) return error;
  if (error.name === 'ReplyError') {
    const code = ACL_IN_SCRIPT.test(error.message) ? 'NOPERM' : (/^[A-Z]+/.exec(error.message)?.[0] ?? '');
    const advice = REFUSED[code];
    if (advice === undefined) return error;
    return unavailable(
      advice,
      INSIDE_SCRIPT.test(error.message) && !isTransient(error) ? 'unknown' : 'not_done',
      error,
    );
  }
  if (NEVER_SENT.test(error.message))
    return unavailable('Redis is out of reach; nothing was done: try again', 'not_done', error);
  return unavailable(
    'the connection to Redis broke before it replied: it is not known whether this was done',
    'unknown',
    error,
  );
}

function unavailable(message: string, outcome: 'not_done' | 'unknown', cause: Error): BrokerError {
  return new BrokerError('unavailable', message, { retryAfterS: RETRY_AFTER_S, outcome, cause });
}
