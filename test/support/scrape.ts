// Reads GET /metrics as Prometheus does.
import type { BrokerProcess } from '../../harness/process.js';

export type Labels = Record<string, string>;

export interface Sample {
  /** Including the suffixes of histograms: _bucket, _sum, _count. */
  name: string;
  labels: Labels;
  value: number;
}

export interface Scrape {
  text: string;
  /** counter, gauge or histogram, by name. */
  types: Map<string, string>;
  samples: Sample[];
  /** The sum of all samples of that name with these labels; undefined without one. */
  value(name: string, labels?: Labels): number | undefined;
  /** The values that a label has. */
  values(name: string, label: string): string[];
}

export const metricsUrl = (broker: BrokerProcess): string =>
  `http://127.0.0.1:${String(broker.lines('metrics are at')[0]!.metricsPort)}/metrics`;

export async function scrape(broker: BrokerProcess): Promise<Scrape> {
  const response = await fetch(metricsUrl(broker));
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
  return parse(text);
}

/** https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format */
export function parse(text: string): Scrape {
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== undefined) types.set(name, type!);
    if (line === '' || line.startsWith('#')) continue;
    const [, sample, labelText = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (sample === undefined) throw new Error(`no sample: ${line}`);
    const labels = Object.fromEntries(
      [...labelText.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, is]) => [label!, is!]),
    );
    samples.push({ name: sample, labels, value: Number(value) });
  }
  const of = (name: string, labels: Labels): Sample[] =>
    samples.filter(
      (sample) => sample.name === name && Object.entries(labels).every(([label, is]) => sample.labels[label] === is),
    );
  return {
    text,
    types,
    samples,
    value(name, labels = {}) {
      const found = of(name, labels);
      return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
    },
    values: (name, label) => [...new Set(of(name, {}).map(({ labels }) => labels[label]!))],
  };
}

/** The metric that a sample belongs to. */
export const metricOf = (name: string, types: ReadonlyMap<string, string>): string =>
  types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
