// The page: one HTML file that needs nothing else.
import type { Provenance, Results } from '../results.js';
import { escape, list } from './format.js';
import { NEEDED, predictions } from './predictions.js';
import { type Figure, type Section, type Table, type Told } from './section.js';
import { PAGE_STYLE, PLOT_STYLE } from './style.js';

export interface Chapter {
  section: Section;
  /** Missing when the part was not measured. */
  told?: Told;
}

export function page(chapters: Chapter[], results: Results): string {
  const headlines = chapters.flatMap(({ told }) => told?.headlines ?? []);
  const missing = chapters.filter(({ told }) => !told).map(({ section }) => section.title);
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
    `<title>aizumi: benchmarks</title><style>${PAGE_STYLE}${PLOT_STYLE}</style></head><body>`,
    '<header><h1>aizumi: what it costs</h1>',
    '<p class="about">A message broker over HTTP on Redis Streams. All figures on this page are computed from load/results.json; under each plot it says where and when they were measured. µs are CPU time, which compares better between machines than requests per second do.</p>',
    `<nav>${[...chapters.map(({ section }) => [section.part, section.title]), ['capacity', 'Capacity']].map(([id, title]) => `<a href="#${id!}">${escape(title!)}</a>`).join(' ')}</nav>`,
    headlines.length > 0
      ? `<div class="headlines">${headlines.map(({ value, label, isOver }) => `<div class="headline${isOver ? ' over' : ''}"><b>${escape(value)}</b><span>${escape(label)}</span></div>`).join('')}</div>`
      : '',
    missing.length > 0 ? `<p class="missing">Not measured yet: ${escape(list(missing))}.</p>` : '',
    '</header><main>',
    ...chapters.map((chapter) => chapterHtml(chapter, results)),
    capacityHtml(results),
    '</main><footer>Made by <code>npm run load:report</code> from what <code>npm run load:measure</code> wrote. CPU times: user and system, of all processes, from the operating system.</footer></body></html>',
    '',
  ].join('\n');
}

function chapterHtml({ section, told }: Chapter, results: Results): string {
  const { part: name, title, about } = section;
  const head = `<section id="${name}"><h2>${escape(title)}</h2><p class="about">${escape(about)}</p>`;
  const part = results[name];
  if (!told || !part)
    return `${head}<p class="missing">Not measured yet: <code>npm run load:measure -- ${name}</code> measures it.</p></section>`;
  return [
    head,
    provisional([part]),
    `<p>${told.sentences.map(escape).join(' ')}</p>`,
    `<div class="figures">${told.figures.map(figureHtml).join('\n')}</div>`,
    tableHtml(told.table, 'The figures as a table'),
    '</section>',
  ].join('\n');
}

function provisional(parts: Provenance[]): string {
  return parts.some(({ command }) => command.includes('--quick'))
    ? '<p class="provisional">Provisional: from a quick run.</p>'
    : '';
}

function figureHtml({ svg }: Figure): string {
  const isWide = Number(/ width="(\d+)"/.exec(svg)?.[1]) > 500;
  return `<figure${isWide ? ' class="wide"' : ''}>${svg}</figure>`;
}

function capacityHtml(results: Results): string {
  const said = predictions(results);
  return [
    '<section id="capacity"><h2>Capacity</h2><p class="about">What larger deployments need, predicted from the figures above; docs/capacity.md has the formulas and what they assume. <code>npx tsx load/capacity.ts --per-second 10000 --bytes 1000 --backlog 1000000</code> works it out for yours.</p>',
    provisional(NEEDED.flatMap((name) => results[name] ?? [])),
    said
      ? `<p>${said.sentences.map(escape).join(' ')}</p>${tableHtml(said.table, 'Predictions', true)}`
      : `<p class="missing">Needs these parts: <code>npm run load:measure -- ${NEEDED.join(' ')}</code>.</p>`,
    '</section>',
  ].join('\n');
}

function tableHtml({ head, rows }: Table, summary: string, open = false): string {
  const isNumber = head.map((_, c) => rows.every((row) => row[c] === '' || /^[≤\d]/.test(String(row[c]))));
  const cell = (tag: 'th' | 'td') => (value: string | number, c: number) =>
    `<${tag}${isNumber[c] ? ' class="number"' : ''}>${escape(String(value))}</${tag}>`;
  const body = rows.map((row) => `<tr>${row.map(cell('td')).join('')}</tr>`).join('\n');
  const table = `<div class="table"><table><thead><tr>${head.map(cell('th')).join('')}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
  return `<details${open ? ' open' : ''}><summary>${escape(summary)}</summary>${table}</details>`;
}
