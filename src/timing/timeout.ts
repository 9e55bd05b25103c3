// A bound on how long something is waited for that may fail or hang.

/** What `promise` resolves to; undefined when it fails or takes longer. */
export function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, undefined);
    promise.then(resolve, () => resolve(undefined)).finally(() => clearTimeout(timer));
  });
}
