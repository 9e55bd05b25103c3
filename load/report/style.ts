// Colours and type of page and plots, for light and dark. A plot's colours are attributes, light ones, so that any viewer shows
// them; the style replaces them where dark is preferred.

export const INK = '#1f2328';
export const MUTED = '#59636e';
export const PAPER = '#ffffff';
const LINE = '#d8dee4';
export const LIMIT = '#c4314b';

/** Series, told apart by colour-blind people too (Okabe and Ito's, a little darker). */
export const SERIES = ['#0072b2', '#d55e00', '#00845f', '#a04a84', '#7a6a00', '#5a6570'];

const DARK: Record<string, string> = {
  [INK]: '#e6edf3',
  [MUTED]: '#9aa4af',
  [PAPER]: '#0f141a',
  [LINE]: '#2b333c',
  [LIMIT]: '#ff7b8f',
  '#0072b2': '#4fa8e8',
  '#d55e00': '#ff8f4a',
  '#00845f': '#3ccf9f',
  '#a04a84': '#dd95c4',
  '#7a6a00': '#d4bf3f',
  '#5a6570': '#aab4be',
};

const dark = (rules: string): string => `@media (prefers-color-scheme: dark) {${rules}}`;

export const PLOT_STYLE = [
  `.plot{color:${INK};display:block;max-width:100%;height:auto}`,
  '.plot text{white-space:pre}',
  dark(
    [
      `.plot{color:${DARK[INK]!}}`,
      ...Object.entries(DARK).flatMap(([light, it]) =>
        ['fill', 'stroke'].map((attribute) => `.plot [${attribute}="${light}"]{${attribute}:${it}}`),
      ),
    ].join(''),
  ),
].join('');

export const PAGE_STYLE = `
:root{color-scheme:light dark;--ink:${INK};--muted:${MUTED};--paper:${PAPER};--line:${LINE};--soft:#f6f8fa;--accent:${SERIES[0]!};--warn:${LIMIT}}
${dark(`:root{--ink:${DARK[INK]!};--muted:${DARK[MUTED]!};--paper:${DARK[PAPER]!};--line:${DARK[LINE]!};--soft:#171e26;--accent:${DARK[SERIES[0]!]!};--warn:${DARK[LIMIT]!}}`)}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main,header,footer{max-width:52rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.5rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.35rem;margin:0 0 .5rem}
.about,.caption,footer{color:var(--muted)}
nav{margin:1rem 0;font-size:.9rem;line-height:2}
nav a{margin-right:1rem;white-space:nowrap}
a{color:var(--accent)}
section{padding:2rem 0;border-top:1px solid var(--line);margin-top:1.5rem}
.headlines{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.75rem;margin:1.5rem 0}
.headline{background:var(--soft);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem}
.headline b{display:block;font-size:1.5rem;line-height:1.2;font-variant-numeric:tabular-nums}
.headline.over{border-color:var(--warn)}
.headline span{color:var(--muted);font-size:.85rem;line-height:1.35;display:block;margin-top:.25rem}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
figure{margin:.5rem 0;overflow-x:auto;border:1px solid var(--line);border-radius:.5rem;min-width:0}
figure.wide{grid-column:1/-1}
figure.wide svg{min-width:36rem}
.caption{font-size:.8rem;margin:.5rem 0 0;overflow-wrap:anywhere}
.missing{background:var(--soft);border-left:3px solid var(--warn);padding:.75rem 1rem}
.provisional{color:var(--warn);font-weight:600}
details{margin-top:.75rem}
summary{cursor:pointer;color:var(--accent);font-size:.9rem}
.table{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;margin:.75rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:bottom}
th{color:var(--muted);font-weight:600}
.number{text-align:right}
td.number{white-space:nowrap}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,monospace;background:var(--soft);padding:.1em .3em;border-radius:.25em}
footer{padding:2rem 1.25rem 3rem;font-size:.85rem}
`;
