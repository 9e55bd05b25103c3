// Tests ask whether something happens; how fast it does is for benchmarks. But what should take a second must not take for ever.

/** How many times slower than it should be this machine may be. With 1, on a quiet machine, the times that are promised are seen. */
const PATIENCE = Number(process.env.AIZUMI_TEST_PATIENCE ?? 5);

/** @param ms what something takes at most where nothing else runs */
export const patient = (ms: number): number => ms * PATIENCE;
