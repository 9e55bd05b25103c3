// How much memory a worker may count on for what its clients make it hold, where no setting says so.
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';

/**
 * Part of the smaller of V8's heap limit and the container's memory. The rest is the program itself (about 100 MB), garbage that
 * V8 has not collected yet, and the one reply that is being put together (docs/limits.md).
 */
const SHARE = 0.4;

/** @param workers processes that share the container's memory */
export function defaultMemoryBytes(workers: number): number {
  // libuv reads memory.max of cgroup v2 or memory.limit_in_bytes of v1; without a limit it returns 0, or more than there is
  const constrained = process.constrainedMemory();
  const container = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return Math.floor(SHARE * Math.min(getHeapStatistics().heap_size_limit, container / workers));
}
