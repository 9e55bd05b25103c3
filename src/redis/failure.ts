// The one place that decides what an error from Redis or its connection means for the request.
import { BrokerError } from '../errors.js';
import { CLUSTER_NOT_SENT, NOT_SENT, TOO_MANY_REDIRECTIONS } from './private-api.js';
import { isPassing } from './connect/steady-primary.js';

/** Redis refused the command before doing anything, and may take it later. https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors */
const REFUSED: Record<string, string> = {
  OOM: 'Redis is out of memory: receive and free messages, or give Redis more memory',
  READONLY: 'Redis is read-only (a replica, or a fail-over is under way): try again',
  MISCONF: 'Redis cannot write to its disk: free disk space, then try again',
  LOADING: 'Redis is loading its data: try again',
  MASTERDOWN: 'Redis has lost its primary: try again',
  NOREPLICAS: 'Redis has too few replicas to accept writes: try again',
  // ioredis takes a script for loaded whose EVAL was refused, by NOREPLICAS for example; with the next try it loads it
  NOSCRIPT: 'Redis has lost its scripts and could not take them again yet: try again',
  BUSY: 'Redis is busy with a script: try again',
  CLUSTERDOWN: 'The Redis Cluster is down: try again',
  MOVED: 'The Redis Cluster has moved this queue: try again',
  ASK: 'The Redis Cluster is moving this queue: try again',
  TRYAGAIN: 'The Redis Cluster is moving this queue: try again',
  NOAUTH: 'Redis wants a password: set it in AIZUMI_REDIS_URL',
  WRONGPASS: 'Redis does not take the password in AIZUMI_REDIS_URL',
  NOPERM: "Redis's ACL does not let aizumi do this: give its user the commands and keys it needs",
};

/** What NOPERM is called when a script runs into it, in Redis 7.0 and in later ones. */
const ACL_IN_SCRIPT = /^ERR The user executing the script can't|ACL failure in script/;

/** ioredis's words for a command that it has not sent (enableOfflineQueue: false), or that every node sent elsewhere. */
const NEVER_SENT = new RegExp(`^(${NOT_SENT}|${CLUSTER_NOT_SENT}|${TOO_MANY_REDIRECTIONS})`);

/**
 * What Redis adds to an error that ended a script: the script had begun, and Redis does not undo what it has written. A script
 * that was refused as a whole, or that returns an error of its own, has no such words; and where a state of Redis that lasts as
 * long as the script refuses its writes ({@link isPassing}), it has refused them all.
 */
const INSIDE_SCRIPT = / script: .*on @user_script:\d+/;

const RETRY_AFTER_S = 1;

/**
 * Turns whatever ioredis threw into the answer for the client.
 * @returns `unavailable` with outcome `not_done` (refused, or never sent) or `unknown` (sent, no reply; or a script that
 *   stopped half-way); anything else unchanged, since then the fault is aizumi's own
 */
export function redisFailure(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof BrokerError) return error;
  if (error.name === 'ReplyError') {
    const code = ACL_IN_SCRIPT.test(error.message) ? 'NOPERM' : (/^[A-Z]+/.exec(error.message)?.[0] ?? '');
    const advice = REFUSED[code];
    if (advice === undefined) return error;
    return unavailable(advice, INSIDE_SCRIPT.test(error.message) && !isPassing(error) ? 'unknown' : 'not_done', error);
  }
  if (NEVER_SENT.test(error.message))
    return unavailable('Redis is out of reach; nothing was done: try again', 'not_done', error);
  return unavailable(
    'the connection to Redis broke before its answer came: it is not known whether this was done',
    'unknown',
    error,
  );
}

function unavailable(message: string, outcome: 'not_done' | 'unknown', cause: Error): BrokerError {
  return new BrokerError('unavailable', message, { retryAfterS: RETRY_AFTER_S, outcome, cause });
}
