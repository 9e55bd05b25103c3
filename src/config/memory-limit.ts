// The default of AIZUMI_MAX_BYTES_IN_FLIGHT: how much memory a worker may use for what its clients make it hold.
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';

/**
 * Part of the smaller of V8's heap limit and the container's memory. The rest is the program itself (about 100 MB), garbage that
 * V8 has not collected yet, and the one reply that is being assembled (docs/limits.md).
 */
const SHARE = 0.4;

/** @param workers processes that share the container's memory */
export function defaultMemoryBytes(workers: number): number {
  // libuv reads memory.max of cgroup v2 or memory.limit_in_bytes of v1; without a limit it returns 0, or more than totalmem()
  const constrained = process.constrainedMemory();
  const container = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.floor(SHARE * Math.min(getHeapStatistics().heap_size_limit, container / workers));
}
