// The alert rules, checked with promtool of Prometheus: npm run test:k8s. Without promtool these are reported as skipped.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { parse } from 'yaml';
import { ALERT_TESTS, BACKUP_RULES, RULES } from '../support/monitoring.js';

const run = promisify(execFile);
/** Debian's package `prometheus`, unpacked by .ci/run: it runs with the libraries beside it. */
const UNPACKED = '/var/tmp/aizumi-tools/prometheus';
const LOADER = `${UNPACKED}/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2`;

async function promtool(...args: string[]): Promise<string> {
  const command = existsSync(LOADER)
    ? [LOADER, '--library-path', `${UNPACKED}/usr/lib/x86_64-linux-gnu`, `${UNPACKED}/usr/bin/promtool`]
    : ['promtool'];
  const [program, ...first] = command as [string, ...string[]];
  const { stdout, stderr } = await run(program, [...first, ...args]);
  return stdout + stderr;
}

describe('alert rules', function () {
  this.timeout(60_000);

  before(async function () {
    const isThere = await promtool('--version').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return undefined;
    });
    if (isThere === undefined) {
      console.log('    no promtool in the PATH: the rules are NOT checked. It is in Debian’s package prometheus.');
      this.skip();
    }
  });

  for (const rules of [RULES, BACKUP_RULES])
    it(`are valid: ${rules}`, async () => expect(await promtool('check', 'rules', rules)).to.include('SUCCESS'));

  for (const tests of [ALERT_TESTS, 'test/monitoring/backup-alerts.yaml'])
    it(`fire when they should, and not before: ${tests}`, async () =>
      expect(await promtool('test', 'rules', tests)).to.include('SUCCESS'));

  it('on backups are the same for the Prometheus operator', async () => {
    const read = async (file: string): Promise<any> => parse(await readFile(file, 'utf8'));
    const { groups } = await read(BACKUP_RULES);
    const { spec } = await read(BACKUP_RULES.replace('rules.yaml', 'prometheus-rule.yaml'));
    expect(spec.groups).to.deep.equal(groups);
  });

  describe('have tests that detect', () => {
    let folder: string;
    before(async () => (folder = await mkdtemp(join(tmpdir(), 'aizumi-alerts-'))));
    after(() => rm(folder, { recursive: true, force: true }));

    /** Mistakes, each of which makes an alert useless. */
    const mistakes: [string, string | RegExp, string][] = [
      ['a share of 503 that is too large', '> 0.05 *', '> 0.5 *'],
      ['a share of 503 that is too small', '> 0.05 *', '> 0.001 *'],
      ['Redis away for nobody', '(aizumi_redis_up) == 0', '(aizumi_redis_up) < 0'],
      ['a quorum that is one too many', 'aizumi_replication_nodes) / 2)', 'aizumi_replication_nodes) / 1)'],
      ['dead letters of always', 'unless sum by (address) (aizumi_queue_dead_letters_total offset 10m)', ''],
      ['no first dead letter of a queue', 'or sum by (address) (aizumi_queue_dead_letters_total) > 0', ''],
      ['no address of a queue', /sum by \(address\) \(rate/, 'sum (rate'],
      [
        'a single dead letter that wakes somebody',
        'labels: { severity: warning }\n        annotations:\n          summary: >-\n            messages to',
        'labels: { severity: critical }\n        annotations:\n          summary: >-\n            messages to',
      ],
      ['a DROP of very many that wakes somebody', '{msg_type!~"MSG_(PEEK|MOVE|DROP|GBYE)_REQ"}', ''],
      ['age in milliseconds', '> 900', '> 900000'],
      ['latencies in milliseconds', '> 0.25', '> 250'],
      ['another severity', /severity: critical/g, 'severity: warning'],
    ];
    for (const [mistake, what, instead] of mistakes)
      it(mistake, async () => {
        const rules = await readFile(RULES, 'utf8');
        const wrong = rules.replace(what, instead);
        expect(wrong).not.to.equal(rules);
        await writeFile(join(folder, 'rules.yaml'), wrong);
        const tests = await readFile(ALERT_TESTS, 'utf8');
        const file = join(folder, 'alerts.yaml');
        await writeFile(
          file,
          tests.replace(/^rule_files: .*$/m, `rule_files: [${join(resolve(folder), 'rules.yaml')}]`),
        );
        const failed = await promtool('test', 'rules', file).catch((error: unknown) => error);
        expect(failed, mistake).to.be.instanceOf(Error).and.to.have.property('code', 1);
      });
  });
});
