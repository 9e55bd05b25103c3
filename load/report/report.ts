// From results to page and plots, without touching files.
import type { PartName, Results } from '../results.js';
import { connections, halfLoad } from './connections.js';
import { costs } from './costs.js';
import { standalone } from './drawing.js';
import { memory } from './memory.js';
import { page, type Chapter } from './page.js';
import { peers } from './peers.js';
import { scaling } from './scaling.js';
import { scenarios } from './scenarios.js';
import type { Section } from './section.js';
import { soak } from './soak.js';

/** In the page's order; a part without a section does not compile. */
const SECTIONS: Record<PartName, Section> = {
  costs,
  connections,
  halfLoad,
  scenarios,
  scaling,
  peers,
  memory,
  soak,
};

export interface Report {
  html: string;
  /** File name without .svg → text of the file. */
  plots: Map<string, string>;
}

/** The same report for the same results, whenever it is made. */
export function report(results: Results): Report {
  const chapters = Object.values(SECTIONS).map((section): Chapter => {
    const part = results[section.part];
    return part === undefined || part.rows.length === 0 ? { section } : { section, told: section.tell(part, results) };
  });
  const figures = chapters.flatMap(({ told }) => told?.figures ?? []);
  return {
    html: page(chapters, results),
    plots: new Map(figures.map(({ name, svg }) => [name, standalone(svg)])),
  };
}
