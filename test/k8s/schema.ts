// A document against the generated model of its kind: required fields, types and, which the models do not tell, unknown fields.
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { TriggerAuthentication } from '@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication';
import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor';
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler';
import { CronJob } from 'kubernetes-models/batch/v1/CronJob';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap';
import { Namespace } from 'kubernetes-models/v1/Namespace';
import { PersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import { Secret } from 'kubernetes-models/v1/Secret';
import { Service } from 'kubernetes-models/v1/Service';
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount';
import { HttpRoute } from './http-route.js';
import { nameOf } from './render.js';
import type { Doc } from './render.js';

interface Model {
  prototype: { validate(): void };
  apiVersion: string;
  kind: string;
}

const MODELS: readonly Model[] = [
  ConfigMap,
  CronJob,
  Deployment,
  HorizontalPodAutoscaler,
  HttpRoute,
  Job,
  Namespace,
  NetworkPolicy,
  PersistentVolumeClaim,
  PodDisruptionBudget,
  PodMonitor,
  PrometheusRule,
  ScaledObject,
  Secret,
  Service,
  ServiceAccount,
  StatefulSet,
  TriggerAuthentication,
];

export function schemaFaults(docs: Doc[]): string[] {
  return docs.flatMap((doc) => faultsOf(doc).map((fault) => `${nameOf(doc)}: ${fault}`));
}

function faultsOf(doc: Doc): string[] {
  const model = MODELS.find(({ apiVersion, kind }) => apiVersion === doc.apiVersion && kind === doc.kind);
  if (model === undefined) return [`no model of ${String(doc.apiVersion)} ${String(doc.kind)}`];
  const unread = new Set<string>();
  const watched = watchReads(doc, '', unread);
  try {
    // not on an instance: that would be a copy
    model.prototype.validate.call(watched);
  } catch (error) {
    return [(error as Error).message];
  }
  return [...unread].map((path) => `unknown field ${path}`);
}

/**
 * The models' validators read each field that their schema has, and no other: what was never read is unknown. Fields that
 * were not reached, below an unknown one, are not told.
 */
function watchReads(value: Doc, path: string, unread: Set<string>): Doc {
  const children = new Map<string, unknown>();
  for (const [key, child] of Object.entries(value)) {
    const at = `${path}/${key}`;
    if (!Array.isArray(value)) unread.add(at);
    children.set(key, child !== null && typeof child === 'object' ? [child, at] : child);
  }
  const proxies = new Map<string, Doc>();
  return new Proxy(value, {
    get(target, key, receiver) {
      if (typeof key !== 'string' || !children.has(key)) return Reflect.get(target, key, receiver);
      const child = children.get(key);
      unread.delete(`${path}/${key}`);
      if (!Array.isArray(child)) return child;
      if (!proxies.has(key)) proxies.set(key, watchReads(child[0] as Doc, child[1] as string, unread));
      return proxies.get(key);
    },
  });
}
