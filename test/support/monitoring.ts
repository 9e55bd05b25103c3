// Alert rules and dashboard, as they are shipped.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export const RULES = 'k8s/components/monitoring/rules.yaml';
export const BACKUP_RULES = 'k8s/components/backup-alerts/rules.yaml';
export const ALERT_TESTS = 'test/monitoring/alerts.yaml';

export interface Rule {
  alert: string;
  expr: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface Target {
  refId: string;
  expr: string;
  legendFormat: string;
  datasource: { uid: string };
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { h: number; w: number; x: number; y: number };
  datasource?: { uid: string };
  targets?: Target[];
}

export interface Dashboard {
  uid: string;
  title: string;
  schemaVersion: number;
  templating: { list: { name: string; type: string; query: string }[] };
  panels: Panel[];
}

const read = (file: string): string => readFileSync(file, 'utf8');

export const readRules = (): { groups: { name: string; rules: Rule[] }[] } => parse(read(RULES));
export const allRules = (): Rule[] => readRules().groups.flatMap(({ rules }) => rules);
/** On backups, of components/backup-alerts: on metrics of kube-state-metrics, not of ours. */
export const backupRules = (): Rule[] =>
  (parse(read('k8s/components/backup-alerts/rules.yaml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
    ({ rules }) => rules,
  );
export const readDashboard = (): Dashboard => JSON.parse(read('k8s/components/monitoring/dashboard.json'));

const METRIC = /\b(?:aizumi|process|nodejs)_\w+/g;

/** Every metric in a PromQL expression, with the labels that are asked of it: in its braces, and in the by() before it. */
export function metricsIn(expr: string): { name: string; labels: string[] }[] {
  let end = 0;
  return [...expr.matchAll(METRIC)].map(({ 0: name, index }) => {
    const before = expr.slice(end, index);
    end = index + name.length;
    const [, braces = ''] = /^\{([^}]*)\}/.exec(expr.slice(end)) ?? [];
    const matched = [...braces.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label!);
    const grouped = [...before.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels]) => labels!.split(/,\s*/));
    return { name, labels: [...matched, ...grouped] };
  });
}
