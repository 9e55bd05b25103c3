// The kinds of plot that several sections draw: stacked bars, ranges from p50 to p99, lines over a dimension.
import { Plot, baseline, colour, draw, limit, logAxis, roomFor, type Drawing } from './drawing.js';
import { millis } from './format.js';
import { PAPER } from './style.js';

type Frame = Pick<Drawing, 'title' | 'foot'> & { width?: number };

export interface Bar {
  name: string;
  /** Lengths, stacked in this order. */
  parts: Record<string, number>;
  /** At the bar's end, after the total. */
  note?: string;
}

/** Lying bars from zero; the sum at the end of each. @param names of all parts, in the order of their colours */
export function stackedBars(
  frame: Frame,
  bars: Bar[],
  unit: string,
  format: (value: number) => string,
  names = [...new Set(bars.flatMap(({ parts }) => Object.keys(parts)))],
): string {
  const pieces = bars.flatMap(({ name, parts }) =>
    Object.entries(parts).map(([part, value]) => ({ name, part, value })),
  );
  const sums = bars.map(({ name, parts, note }) => {
    const sum = Object.values(parts).reduce((total, value) => total + value, 0);
    return { name, sum, label: [format(sum), note].filter(Boolean).join('  ') };
  });
  return draw({
    ...frame,
    legend: names.length > 1 ? names : [],
    plot: {
      height: 62 + 30 * bars.length,
      marginTop: 8,
      marginLeft: roomFor(bars.map(({ name }) => name)),
      marginRight: roomFor(sums.map(({ label }) => label)),
      marginBottom: 42,
      x: {
        label: `${unit} →`,
        labelAnchor: 'right',
        labelArrow: false,
        domain: [0, Math.max(...sums.map(({ sum }) => sum))],
        nice: true,
        grid: true,
        tickSize: 0,
        ticks: 6,
      },
      y: { label: null, domain: bars.map(({ name }) => name), padding: 0.3, tickSize: 0 },
      color: { domain: names, range: names.map((_, i) => colour(i)) },
      marks: [
        Plot.barX(pieces, { x: 'value', y: 'name', fill: 'part', order: names }),
        Plot.text(sums, { x: 'sum', y: 'name', text: 'label', textAnchor: 'start', dx: 6, fontWeight: 600 }),
      ],
    },
  });
}

export interface Range {
  name: string;
  p50: number;
  p99: number;
}

/** From p50 to p99 of each, on a logarithmic axis: dots, not bars, as it has no zero. */
export function ranges(frame: Frame, rows: Range[]): string {
  const label = (of: 'p50' | 'p99', anchor: 'start' | 'end', dx: number): Plot.Markish =>
    Plot.text(rows, { x: of, y: 'name', text: (row: Range) => millis(row[of]), textAnchor: anchor, dx });
  return draw({
    ...frame,
    legend: ['p50', 'p99'],
    plot: {
      height: 62 + 26 * rows.length,
      marginTop: 8,
      marginLeft: roomFor(rows.map(({ name }) => name)) + 30,
      marginRight: 60,
      marginBottom: 42,
      x: {
        ...logAxis(rows.flatMap(({ p50, p99 }) => [p50, p99])),
        grid: true,
        label: 'ms, logarithmic →',
        labelAnchor: 'right',
        labelArrow: false,
        tickSize: 0,
        tickFormat: (tick: number) => String(tick),
      },
      y: { label: null, domain: rows.map(({ name }) => name), padding: 0.3, tickSize: 0 },
      marks: [
        Plot.ruleY(rows, { x1: 'p50', x2: 'p99', y: 'name', stroke: colour(5), strokeWidth: 2 }),
        Plot.dot(rows, { x: 'p50', y: 'name', fill: colour(0), r: 5 }),
        Plot.dot(rows, { x: 'p99', y: 'name', fill: colour(1), r: 5 }),
        label('p50', 'end', -9),
        label('p99', 'start', 9),
      ],
    },
  });
}

export interface Line {
  name: string;
  points: { x: number; y: number }[];
}

export interface LineOptions {
  x: string;
  y: string;
  /** Between the values of x: `point` sets them at equal distances. */
  xType?: 'log' | 'linear' | 'point';
  /** Without it y begins at zero. */
  logY?: boolean;
  xTick?: (value: number) => string;
  yTick?: (value: number) => string;
  limit?: { value: number; label: string };
  /** y shows at least so much. */
  atLeast?: number;
  height?: number;
  dots?: boolean;
}

const TOP = 12;
const BOTTOM = 44;
/** Between the names at the lines' ends, pixels. */
const NAMES_APART = 14;

/** Lines with their names at their ends. */
export function lines(frame: Frame, all: Line[], options: LineOptions): string {
  const { xType = 'point', logY = false, xTick = String, yTick, atLeast = 0, dots = true, height = 270 } = options;
  const points = all.flatMap(({ name, points }) => points.map((point) => ({ name, ...point })));
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const names = all.map(({ name }) => name);
  const top = Math.max(atLeast, options.limit?.value ?? 0, ...points.map(({ y }) => y)) * 1.04;
  const y = logY ? logAxis(points.map((point) => point.y)) : { type: 'linear' as const, domain: [0, top], ticks: 6 };
  return draw({
    ...frame,
    unit: options.y,
    plot: {
      height,
      marginTop: TOP,
      marginLeft: 52,
      marginRight: roomFor(names),
      marginBottom: BOTTOM,
      x: {
        type: xType,
        ...(xType === 'point' ? { padding: 0.15 } : {}),
        ...(xType === 'linear' ? {} : { ticks: xs }),
        ...(xType === 'log' ? { base: 2 } : {}),
        label: `${options.x} →`,
        labelAnchor: 'right',
        labelArrow: false,
        labelOffset: 38,
        tickFormat: xTick,
        tickSize: 0,
      },
      y: { ...y, grid: true, label: null, tickSize: 0, ...((yTick ?? logY) ? { tickFormat: yTick ?? String } : {}) },
      color: { domain: names, range: names.map((_, i) => colour(i)) },
      marks: [
        ...(logY ? [] : [baseline()]),
        ...(options.limit ? limit(options.limit.value, options.limit.label) : []),
        Plot.line(points, { x: 'x', y: 'y', stroke: 'name', strokeWidth: 2 }),
        ...(dots ? [Plot.dot(points, { x: 'x', y: 'y', fill: 'name', r: 4, stroke: PAPER })] : []),
        ...endNames(all, y, height),
      ],
    },
  });
}

/** Each at the height of its line's last point, or as near as the others let it. */
function endNames(all: Line[], y: { type: 'log' | 'linear'; domain: number[] }, height: number): Plot.Markish[] {
  const along = y.type === 'log' ? Math.log : (value: number): number => value;
  const [from, to] = y.domain.map(along) as [number, number];
  const pixels = (value: number): number => (height - TOP - BOTTOM) * (1 - (along(value) - from) / (to - from));
  const ends = all.map(({ name, points }, i) => ({ name, i, last: points.at(-1)!, at: pixels(points.at(-1)!.y) }));
  let free = Infinity;
  // from the bottom up
  return ends
    .toSorted((a, b) => b.at - a.at)
    .map(({ name, i, last, at }) => {
      free = Math.min(at, free - NAMES_APART);
      return Plot.text([last], {
        x: 'x',
        y: 'y',
        text: [name],
        textAnchor: 'start',
        dx: 9,
        dy: free - at,
        fill: colour(i),
        fontWeight: 600,
      });
    });
}
