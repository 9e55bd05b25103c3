// Draws docs/raft_sequence.svg: node docs/raft_sequence.mjs > docs/raft_sequence.svg
// The sequence is the text below; `A -> B: text` is a message, `A --> B: text` its answer, `A: text` what A does itself,
// `== text` a heading, `! A: text` the end of A, `* A: text` its new part from then on.
const LANES = { C: 'client', W: 'worker', P: 'primary', R: 'replica 1', S: 'replica 2', E: 'Sentinels' };
const SEQUENCE = `
== Append and commit: a SEND at quorum
C -> W: SEND
W -> P: batch of XADD, WAIT 1
P: append-only file, fsync
P -> R: the batch, to offset n
P -> S: the batch, to offset n
R: append-only file, fsync
R --> P: ACK n
P: committed: 2 of 3 have it on disk
P --> W: WAIT: 1 replica
W --> C: 200 OK
S: append-only file, fsync
S --> P: ACK n
== The leader is lost
C -> W: SEND, with dedup
W -> P: XADD …, WAIT 1
! P: dies or hangs
W --> C: 503, outcome unknown
E: no answer for down-after-milliseconds
E: majority agrees; one of them is elected, epoch + 1
E -> R: INFO: offset?
E -> S: INFO: offset?
E -> R: REPLICAOF NO ONE
* R: primary
E -> S: REPLICAOF replica 1
== The others follow
W -> E: who is the primary?
E --> W: replica 1
C -> W: SEND again, with dedup
W -> R: send-once.lua, WAIT 1
R: append-only file, fsync
R -> S: the same write
S: append-only file, fsync
S --> R: ACK
R --> W: WAIT: 1 replica
W --> C: 200 OK
* P: comes back
E -> P: REPLICAOF replica 1
P -> R: PSYNC
R --> P: full copy
P: what only it had is dropped
`;

const GAP = 176;
const ROW = 34;
const TOP = 64;
const WIDTH = GAP * 6;
const INK = '#1f2933';
const SOFT = '#8a97a6';
const LEADER = '#b4530a';

const keys = Object.keys(LANES);
const x = (lane) => GAP / 2 + keys.indexOf(lane) * GAP;
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const text = (atX, atY, words, attributes = '') => `<text x="${atX}" y="${atY}" ${attributes}>${escape(words)}</text>`;
/** Words on a white ground, so that lifelines do not cross them; the ground's width is a guess, its height leaves arrows alone. */
const label = (atX, atY, words, { anchor = 'middle', attributes = '' } = {}) => {
  const width = words.length * 6.6 + 6;
  const left = { start: atX - 3, middle: atX - width / 2, end: atX - width + 3 }[anchor];
  return `<rect x="${left}" y="${atY - 11}" width="${width}" height="14" fill="#fff"/>${text(atX, atY, words, `text-anchor="${anchor}" ${attributes}`)}`;
};
const box = (lane, atY, words, colour) =>
  `<rect x="${x(lane) - 52}" y="${atY - 15}" width="104" height="24" rx="4" fill="#fff" stroke="${colour}"/>` +
  text(x(lane), atY + 2, words, `text-anchor="middle" font-weight="600" fill="${colour}"`);

const marks = [];
const lines = [];
const alive = Object.fromEntries(keys.map((lane) => [lane, TOP - 20]));
let y = TOP;

/** Ends the lifeline of `lane` here. */
const endLife = (lane) =>
  lines.push(`<line x1="${x(lane)}" y1="${alive[lane]}" x2="${x(lane)}" y2="${y}" stroke="${SOFT}" stroke-dasharray="3 4"/>`);

for (const row of SEQUENCE.trim().split('\n')) {
  const [, mark, from, arrow, to, words] = /^(==|!|\*)? ?(?:([A-Z])(?: (-?->) ([A-Z]))?: )?(.*)$/.exec(row);
  y += ROW;
  if (mark === '==') {
    y += 8;
    marks.push(`<rect x="0" y="${y - 17}" width="${WIDTH}" height="26" fill="#eef2f6"/>${text(14, y + 1, words, 'font-weight="600"')}`);
  } else if (mark === '!') {
    endLife(from);
    alive[from] = undefined;
    marks.push(`<path d="M${x(from) - 8} ${y - 8}l16 16m0 -16l-16 16" stroke="#c0262d" stroke-width="2.5"/>`);
    marks.push(label(x(from) + 16, y + 4, words, { anchor: 'start', attributes: 'fill="#c0262d"' }));
  } else if (mark === '*') {
    if (alive[from] !== undefined) endLife(from);
    alive[from] = y;
    marks.push(box(from, y, words, words === 'primary' ? LEADER : INK));
  } else if (arrow === undefined) {
    marks.push(`<rect x="${x(from) - 4}" y="${y - 9}" width="8" height="18" fill="${SOFT}"/>`);
    const attributes = words.startsWith('committed') ? `font-weight="600" fill="${LEADER}"` : '';
    const side = from === 'E' ? { anchor: 'end', atX: x(from) - 12 } : { anchor: 'start', atX: x(from) + 12 };
    marks.push(label(side.atX, y + 4, words, { anchor: side.anchor, attributes }));
  } else {
    const [x1, x2] = [x(from), x(to)];
    const tip = x2 > x1 ? x2 - 5 : x2 + 5;
    const dashes = arrow === '-->' ? 'stroke-dasharray="6 3"' : '';
    marks.push(label((x1 + x2) / 2, y, words));
    marks.push(`<line x1="${x1}" y1="${y + 8}" x2="${tip}" y2="${y + 8}" stroke="${INK}" ${dashes} marker-end="url(#head)"/>`);
  }
}
y += ROW;
for (const lane of keys) if (alive[lane] !== undefined) endLife(lane);

console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 12}" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12" fill="${INK}">
<title>How a SEND is replicated and committed, and how the loss of the primary is survived</title>
<!-- made by docs/raft_sequence.mjs -->
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="${INK}"/></marker></defs>
<rect width="${WIDTH}" height="${y + 12}" fill="#fff"/>
${lines.join('\n')}
${marks.join('\n')}
${keys.map((lane) => box(lane, TOP - 20, LANES[lane], lane === 'P' ? LEADER : INK)).join('\n')}
</svg>`);
