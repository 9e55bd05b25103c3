// Preloaded into a worker: its clock jumps every second, hours ahead and hours back.
const HOURS_MS = 3_600_000;
const JUMPS = [0, 3 * HOURS_MS, -5 * HOURS_MS, 26 * HOURS_MS];
const trueNow = Date.now;
const TrueDate = Date;

const now = () => trueNow() + JUMPS[Math.floor(trueNow() / 1000) % JUMPS.length];

globalThis.Date = class extends TrueDate {
  constructor(...args) {
    super(...(args.length === 0 ? [now()] : args));
  }
  static now = now;
};
