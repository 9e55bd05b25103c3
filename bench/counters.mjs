// What it costs to count one thing, µs of CPU, the best of several rounds: `node bench/counters.mjs` (docs/adr/0014).
import { Counter, Histogram, Registry } from 'prom-client';

const ROUNDS = 7;
const TIMES = 2_000_000;
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];

const common = { help: 'for this bench', labelNames: ['label'], registers: [new Registry()] };
const counter = new Counter({ name: 'counter', ...common });
const child = counter.labels('x');
const histogram = new Histogram({ name: 'histogram', buckets: BUCKETS, ...common }).labels('x');
const own = { count: 0 };

const best = (count) => {
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = process.cpuUsage();
    for (let i = 0; i < TIMES; i += 1) count(i);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / TIMES);
  }
  return least.toFixed(3);
};

for (const [what, count] of [
  ["prom-client's counter, label looked up before", () => child.inc()],
  ["prom-client's counter, label looked up each time", () => counter.inc({ label: 'x' })],
  ["prom-client's histogram, label looked up before", (i) => histogram.observe(0.0001 * (i % 50))],
  ['a number of our own', () => (own.count += 1)],
  ['two looks at the clock', () => performance.now() - performance.now()],
])
  console.log(`${best(count)}  ${what}`);
