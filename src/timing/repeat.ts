// Polling: a check that is repeated for as long as the process runs. It does not keep the process alive.

/** Calls `check` every `ms`; a check that is still running is not started again. @returns what stops the polling */
export function pollEvery(ms: number, check: () => Promise<void>): () => void {
  let checking = false;
  const timer = setInterval(() => {
    if (checking) return;
    checking = true;
    void check().finally(() => (checking = false));
  }, ms).unref();
  return () => clearInterval(timer);
}
