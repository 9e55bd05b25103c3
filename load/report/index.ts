// npm run load:report: load/results.json → docs/benchmarks.html and docs/plots/*.svg.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readResults } from '../results.js';
import { report } from './report.js';

const docs = fileURLToPath(new URL('../../docs/', import.meta.url));
const plotsFolder = `${docs}plots`;

const { html, plots } = report(readResults());
mkdirSync(plotsFolder, { recursive: true });
for (const name of readdirSync(plotsFolder)) if (name.endsWith('.svg')) rmSync(`${plotsFolder}/${name}`);
for (const [name, svg] of plots) writeFileSync(`${plotsFolder}/${name}.svg`, svg);
writeFileSync(`${docs}benchmarks.html`, html);
console.log(`docs/benchmarks.html and ${plots.size} plots in docs/plots are made`);
