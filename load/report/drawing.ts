// From marks to SVG text: Observable Plot draws, over linkedom; title, legend and provenance are put around it.
import * as Plot from '@observablehq/plot';
import { DOMParser } from 'linkedom';
import { escape } from './format.js';
import { INK, LIMIT, MUTED, PAPER, PLOT_STYLE, SERIES } from './style.js';

export { Plot };

export const WIDE = 760;
export const NARROW = 372;

const document = new DOMParser().parseFromString('<!doctype html><html><body></body></html>', 'text/html');
const HEAD = 34;
const LEGEND = 20;
const FOOT = 44;
/** Of one character in a label, and in the small print; nothing measures text here. */
const CHARACTER = 6.6;
const SMALL_CHARACTER = 5.1;

export interface Drawing {
  title: string;
  /** Coloured words instead of a legend's box; in the order of SERIES. */
  legend?: string[];
  /** Of the upright axis, instead of a legend. */
  unit?: string;
  /** Small print: where the numbers come from. */
  foot: string[];
  width?: number;
  plot: Plot.PlotOptions;
}

export function draw({ title, legend = [], unit, foot, width = WIDE, plot }: Drawing): string {
  const inner = Plot.plot({
    document: document as never,
    width,
    className: 'plot',
    marginTop: 12,
    marginRight: 30,
    ...plot,
  });
  inner.querySelector('style')?.remove();
  const second = unit === undefined ? legend.map(word).join('   ') : escape(unit);
  const top = HEAD + (second === '' ? 0 : LEGEND);
  const plotHeight = Number(inner.getAttribute('height'));
  const lines = foot.flatMap((line) => wrap(line, (width - 32) / SMALL_CHARACTER));
  const height = Math.round(top + plotHeight + FOOT + 13 * (lines.length - 2));
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"` +
    ` font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12" fill="currentColor" color="${INK}">` +
    `<title>${escape(title)}</title><rect width="${width}" height="${height}" fill="${PAPER}"/>` +
    `<text x="16" y="25" font-size="15" font-weight="600">${escape(title)}</text>` +
    (second === '' ? '' : `<text x="16" y="${HEAD + 11}">${second}</text>`) +
    `<g transform="translate(0,${top})" text-anchor="middle">${rounded(inner.innerHTML)}</g>` +
    `<g font-size="10" fill="${MUTED}">${lines.map((line, i) => `<text x="16" y="${Math.round(top + plotHeight) + 18 + 13 * i}">${escape(line)}</text>`).join('')}</g>` +
    '</svg>'
  );
}

/** For a file of its own. */
export const standalone = (svg: string): string => svg.replace('<title>', `<style>${PLOT_STYLE}</style><title>`) + '\n';

export const colour = (i: number): string => SERIES[i % SERIES.length]!;

/** Of a logarithmic axis: 1, 2, 5, 10, 20 … or, if that is too many to be labelled, 1, 10, 100; room beside what is shown. */
export function logAxis(values: number[]): { type: 'log'; domain: [number, number]; ticks: number[] } {
  const [least, most] = [Math.min(...values) / 1.6, Math.max(...values) * 1.6];
  const decades = Array.from({ length: 13 }, (_, i) => i - 4);
  const ticks = decades.flatMap((n) => (most / least > 150 ? [1] : [1, 2, 5]).map((digit) => Number(`${digit}e${n}`)));
  return { type: 'log', domain: [least, most], ticks: ticks.filter((tick) => tick >= least && tick <= most) };
}

/** Room for the longest label. */
export const roomFor = (labels: string[]): number => 24 + Math.max(...labels.map((label) => label.length)) * CHARACTER;

export const baseline = (): Plot.Markish => Plot.ruleY([0], { stroke: MUTED });

/** A dashed line that is not to be passed. */
export const limit = (value: number, label: string): Plot.Markish[] => [
  Plot.ruleY([value], { stroke: LIMIT, strokeDasharray: '5 4' }),
  Plot.text([label], { y: value, frameAnchor: 'left', textAnchor: 'start', dx: 4, dy: -8, fill: LIMIT }),
];

const word = (name: string, i: number): string =>
  `<tspan fill="${colour(i)}" font-weight="600">■ ${escape(name)}</tspan>`;

/** Hundredths of a pixel are enough. */
const rounded = (svg: string): string =>
  svg.replace(/\d+\.\d{3,}/g, (number) => String(Math.round(Number(number) * 100) / 100));

function wrap(text: string, most: number): string[] {
  const lines = [''];
  for (const piece of text.split(' ')) {
    const last = lines.at(-1)!;
    if (last !== '' && last.length + piece.length + 1 > most) lines.push(piece);
    else lines[lines.length - 1] = last === '' ? piece : `${last} ${piece}`;
  }
  return lines;
}
