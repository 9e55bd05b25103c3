// A look that is taken again and again, for as long as the process has something else to do.

/** Calls `look` every `ms`, but not before the look before has ended. @returns what stops it */
export function lookEvery(ms: number, look: () => Promise<void>): () => void {
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => (looking = false));
  }, ms).unref();
  return () => clearInterval(timer);
}
