// Documents, alert rules and the dashboard agree with a real scrape of the metrics.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { ALL, bearer, keysFile } from '../support/access.js';
import { allRules, backupRules, metricsIn, readDashboard, readRules } from '../support/monitoring.js';
import { endAllProcesses, startBrokerProcess } from '../../harness/process.js';
import { recvRequest, sendRequest } from '../../harness/requests.js';
import { metricOf, scrape } from '../support/scrape.js';
import type { Scrape } from '../support/scrape.js';
import { sharedRedis } from '../../harness/shared-redis.js';
import { until } from '../../harness/until.js';
import { parse } from 'yaml';

/** Labels that Prometheus adds at the scrape. */
const ADDED = ['instance', 'pod', 'le'];

describe('documents, alert rules and dashboard', function () {
  this.timeout(60_000);
  let found: Scrape;
  /** All labels that a series of each metric has. */
  let labels: Map<string, Set<string>>;

  before(async () => {
    const keys = keysFile();
    const headers = bearer(keys.add(ALL));
    const broker = await startBrokerProcess({
      ...keys.env,
      AIZUMI_REDIS_URL: (await sharedRedis()).url,
      AIZUMI_KEY_PREFIX: `t${randomBytes(6).toString('hex')}`,
      AIZUMI_METRICS_PORT: '0',
      AIZUMI_WORKERS: '2',
      AIZUMI_MAX_DELIVERIES: '1',
      AIZUMI_VISIBILITY_TIMEOUT_MS: '0',
      AIZUMI_MAX_QUEUE_LENGTH: '1',
    });
    // the second SEND finds a full queue, and the second RECV makes a message dead
    for (const id of [1, 2]) await broker.post(sendRequest(100, id), headers);
    for (let i = 0; i < 2; i++) await broker.post(recvRequest(100), headers);
    await broker.post(sendRequest(100, 3), headers);
    found = await until(
      'every metric has a value',
      async () => {
        const now = await scrape(broker);
        const seen = new Set(now.samples.map(({ name }) => metricOf(name, now.types)));
        return [...now.types.keys()].every((name) => seen.has(name) || name === 'nodejs_gc_duration_seconds') && now;
      },
      20_000,
    );
    labels = new Map([...found.types.keys()].map((name) => [name, new Set<string>()]));
    for (const sample of found.samples)
      Object.keys(sample.labels).forEach((label) => labels.get(metricOf(sample.name, found.types))!.add(label));
    labels.get('nodejs_gc_duration_seconds')!.add('kind'); // there may have been no garbage collection yet
    endAllProcesses();
    keys.delete();
  });

  /** Metrics and labels in an expression that do not exist; the series of a histogram are recognized by their suffix. */
  function unknownIn(expr: string): string[] {
    return metricsIn(expr).flatMap(({ name, labels: asked }) => {
      const known = labels.get(metricOf(name, found.types));
      const isSeries = found.types.get(metricOf(name, found.types)) !== 'histogram' || !found.types.has(name);
      if (known === undefined || !isSeries) return [`no metric ${name}`];
      const unknown = asked.filter((label) => !known.has(label) && !ADDED.includes(label));
      return unknown.map((label) => `${name} has no label ${label}`);
    });
  }

  it('docs/operations.md lists exactly the metrics that exist, with their types and labels', () => {
    const text = readFileSync('docs/operations.md', 'utf8');
    const rows = [...text.matchAll(/^\| `(\w+)` \| (counter|gauge|histogram) \| ([\w, –]+) \|/gm)];
    const documented = rows.map(([, name, type, names]) => [name, type, names === '–' ? '' : names]);
    const real = [...found.types].map(([name, type]) => {
      const its = [...labels.get(name)!].filter((label) => !ADDED.includes(label));
      return [name, type, its.join(', ')];
    });
    expect(documented.sort()).to.deep.equal(real.sort());
  });

  it('the alert rules use only metrics and labels that exist', () => {
    for (const { alert, expr } of allRules()) {
      expect(metricsIn(expr), alert).not.to.be.empty;
      expect(unknownIn(expr), alert).to.deep.equal([]);
    }
  });

  it('docs/operations.md lists exactly the alerts that exist, with their severity; each links there and has a test', () => {
    const text = readFileSync('docs/operations.md', 'utf8');
    const documented = [...text.matchAll(/^\| (Aizumi\w+) \| (\w+) \|/gm)].map(([, alert, severity]) => [
      alert,
      severity,
    ]);
    const rules = [...allRules(), ...backupRules()];
    expect(documented).to.deep.equal(rules.map(({ alert, labels: { severity } }) => [alert, severity]));
    const tests = readFileSync('test/monitoring/alerts.yaml', 'utf8');
    for (const { alert, annotations } of allRules()) {
      const [file, anchor] = annotations.runbook!.split('#');
      expect(existsSync(file!) && readFileSync(file!, 'utf8').includes('\n## Alerts\n') && anchor, alert).to.equal(
        'alerts',
      );
      expect(tests, alert).to.include(`alertname="${alert}"`);
    }
  });

  it('the alert rules for the Prometheus operator are the same', () => {
    const { kind, spec } = parse(readFileSync('k8s/components/monitoring/prometheus-rule.yaml', 'utf8')) as {
      kind: string;
      spec: unknown;
    };
    expect(kind).to.equal('PrometheusRule');
    expect(spec).to.deep.equal(readRules());
  });

  describe('the dashboard', () => {
    const dashboard = readDashboard();
    const panels = dashboard.panels.filter(({ type }) => type !== 'row');

    it('uses only metrics and labels that exist', () => {
      for (const { title, targets = [] } of panels)
        for (const { expr, legendFormat } of targets) {
          expect(metricsIn(expr), title).not.to.be.empty;
          expect(unknownIn(expr), title).to.deep.equal([]);
          const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
          const known = metricsIn(expr).flatMap(({ name }) => [...labels.get(metricOf(name, found.types))!]);
          expect([...known, ...ADDED], title).to.include.members(shown);
        }
    });

    it('shows every metric of aizumi itself', () => {
      const shown = panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsIn(expr)));
      const names = new Set(shown.map(({ name }) => metricOf(name, found.types)));
      const own = [...found.types.keys()].filter((name) => name.startsWith('aizumi_'));
      expect(own.filter((name) => !names.has(name))).to.deep.equal([]);
    });

    it('is valid for Grafana: ids, panels that do not overlap, a variable for the data source', () => {
      expect(dashboard).to.include({ uid: 'aizumi', title: 'aizumi' });
      expect(dashboard.schemaVersion).to.be.at.least(36);
      expect(dashboard.templating.list[0]).to.include({ name: 'datasource', type: 'datasource', query: 'prometheus' });
      const ids = dashboard.panels.map(({ id }) => id);
      expect(new Set(ids).size).to.equal(ids.length);
      const taken = new Set<string>();
      for (const { title, gridPos } of dashboard.panels) {
        expect(gridPos.x + gridPos.w, title).to.be.at.most(24);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            expect(taken.has(`${x},${y}`), title).to.equal(false);
            taken.add(`${x},${y}`);
          }
      }
      for (const { title, datasource, targets = [] } of panels) {
        expect(targets, title).not.to.be.empty;
        for (const { uid } of [datasource!, ...targets.map((target) => target.datasource)])
          expect(uid, title).to.equal('${datasource}');
        expect(new Set(targets.map(({ refId }) => refId)).size, title).to.equal(targets.length);
      }
    });
  });
});
