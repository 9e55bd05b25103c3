// Tests check whether something happens; benchmarks measure how fast. Still, tests need time limits, which depend on the machine.

/** By what factor this machine may be too slow. With 1, on a quiet machine, tests check the documented times. */
const PATIENCE = Number(process.env.AIZUMI_TEST_PATIENCE ?? 5);

/** @param ms the limit on a quiet machine */
export const patient = (ms: number): number => ms * PATIENCE;
