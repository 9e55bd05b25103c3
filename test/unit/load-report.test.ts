// npm run load:report: the page and plots that it makes of what was measured.
import { DOMParser } from '@xmldom/xmldom';
import { expect } from 'chai';
import { report } from '../../load/report/report.js';
import { readResults } from '../../load/results.js';
import type { PartName } from '../../load/results.js';
import { inventedResults } from '../support/load-results.js';

const PARTS = Object.keys(inventedResults()) as PartName[];

/** Its text as a reader sees it. */
const textOf = (html: string): string =>
  html
    .replace(/<(style|title)>.*?<\/\1>/gs, '')
    .replace(/<[^>]+>/g, ' ')
    .replaceAll('\u00a0', ' ')
    .replace(/\s+/g, ' ');

describe('the report of what was measured', () => {
  const { html, plots } = report(inventedResults());

  it('has a section with sentences, a plot and a table for every part', () => {
    for (const name of PARTS) {
      const section = html.split(`<section id="${name}">`)[1]?.split('</section>')[0];
      expect(section, name).to.include('<svg').and.to.include('<table>').and.not.to.include('Not measured');
      expect(section, name).to.match(/<p>[^<]*\d[^<]*\.<\/p>/);
    }
  });

  it('shows every plot, and each is a file of well-formed XML with its own colours for the dark', () => {
    const expected =
      'request-cost throughput latency-p50 latency-p99 scenario-cost scenario-latency peers-fsync peers-none memory';
    expect([...plots.keys()]).to.include.members(expected.split(' '));
    expect([...plots.keys()]).to.include.members(
      'scaling-workers scaling-shards scaling-queues scaling-waiting'.split(' '),
    );
    expect([...plots.keys()]).to.include.members('soak-latency soak-memory half-load-send half-load-cycle'.split(' '));
    expect(html.match(/<svg /g)).to.have.length(plots.size);
    for (const [name, svg] of plots) {
      const onError = (level: string, message: string): never => {
        throw new Error(`${name}: ${level}: ${message}`);
      };
      const root = new DOMParser({ onError }).parseFromString(svg, 'image/svg+xml').documentElement;
      expect(root?.namespaceURI, name).to.equal('http://www.w3.org/2000/svg');
      expect(svg, name)
        .to.include('prefers-color-scheme: dark')
        .and.not.to.match(/NaN|undefined|Infinity/);
    }
  });

  it('says under each plot when, with what, from which commit and where it was measured', () => {
    for (const [name, svg] of plots) {
      const text = textOf(svg);
      for (const word of ['2026-01-02 03:04 UTC', 'npm run load:measure', 'abc1234', '8 cores of &lt;an invented&gt;'])
        expect(text, name).to.include(word);
    }
  });

  it('needs nothing from the network', () => {
    expect(html).not.to.match(/<(script|link|img|iframe|object|embed|image|use)\b/);
    expect(html).not.to.match(/\b(src|srcset|poster|xlink:href)\s*=|@import|url\(/);
    expect([...html.matchAll(/href="([^"]*)"/g)].filter(([, to]) => !to!.startsWith('#'))).to.be.empty;
  });

  it('computes its sentences from the data', () => {
    const text = textOf(html);
    expect(text).to.include('SEND costs the worker 27.0 µs, 1.23 × the floor');
    expect(text).to.include('82.0 µs of worker and 36.0 µs of Redis');
    expect(text).to.include('queues (from 1 to 10,000 queues: SEND 1.31 ×)');
    expect(text).to.include('aizumi costs 118.0 µs per message, more than beanstalkd (8.43 ×)');
    const other = inventedResults();
    other.costs.rows[2] = { ...other.costs.rows[2]!, workerMicros: 44, ratio: { worker: 2, redis: 2, both: 2 } };
    expect(textOf(report(other).html))
      .to.include('SEND costs the worker 44.0 µs, 2.00 × the floor')
      .and.to.include('over the goal: SEND (≤ 1.25 ×)');
  });

  it('shows the peers without latency where none was measured', () => {
    const withLatency = /has the shortest p50/;
    expect(textOf(html)).to.match(withLatency);
    const results = inventedResults();
    for (const row of results.peers.rows) {
      delete row.p50;
      delete row.p99;
    }
    const lacking = report(results);
    const section = lacking.html.split('<section id="peers">')[1]!.split('</section>')[0]!;
    expect(section)
      .to.include('<table>')
      .and.not.to.match(/p50|p99|NaN|undefined/);
    expect([...lacking.plots.keys()].filter((name) => name.startsWith('peers'))).to.have.members([
      'peers-fsync',
      'peers-none',
    ]);
  });

  it('shows the peers beside one whose latency was not measured', () => {
    const results = inventedResults();
    const { rows } = results.peers;
    const last = rows.find(({ system }) => system === 'NATS JetStream')!;
    delete last.p50;
    delete last.p99;
    const mixed = report(results);
    expect(textOf(mixed.html))
      .to.include('floor has the shortest p50')
      .and.not.to.match(/NaN|undefined/);
    expect(textOf(mixed.plots.get('peers-none-latency')!)).not.to.include('JetStream');
  });

  it('does not judge workers at a rate that was not kept', () => {
    const results = inventedResults();
    expect(textOf(html)).not.to.include('Not judged');
    results.scaling.rows.find(({ dimension, value }) => dimension === 'workersAtRate' && value === 4)!.perSecond =
      3_000;
    expect(textOf(report(results).html))
      .to.include('Not judged: workers at one rate')
      .and.to.include('through 4: 3,000/s');
  });

  it('says which parts were not measured, and draws the rest', () => {
    for (const name of PARTS) {
      const { [name]: _, ...rest } = inventedResults();
      const lacking = report(rest);
      const section = lacking.html.split(`<section id="${name}">`)[1]?.split('</section>')[0];
      expect(section, name).to.include(`Not measured yet: <code>npm run load:measure -- ${name}</code>`);
      expect(lacking.plots.size, name).to.be.lessThan(plots.size).and.to.be.greaterThan(0);
    }
    const none = report({});
    expect(none.html.match(/Not measured yet: <code>/g)).to.have.length(PARTS.length);
    expect(none.plots.size).to.equal(0);
  });

  it('says that a quick run is provisional', () => {
    const results = inventedResults();
    expect(html).not.to.include('Provisional');
    results.memory.command += ' --quick';
    const quick = report(results);
    expect(quick.html.match(/class="provisional"/g)).to.have.length(2); // what is predicted from it, too
    expect(quick.plots.get('memory')).to.include('PROVISIONAL');
  });

  it('is the same for the same results', () => {
    const again = report(inventedResults());
    expect(again.html).to.equal(html);
    expect([...again.plots]).to.deep.equal([...plots]);
  });

  it('can be made of the results that are kept', () => {
    expect(report(readResults()).html).not.to.match(/NaN|undefined|Infinity/);
  });
});
