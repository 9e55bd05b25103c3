// Checks references between documents, which schemas cannot check.
import { NAMESPACE, containersOf, nameOf, ofKind, workloads } from './render.js';
import type { Doc } from './render.js';

/** Also created by hand, so that they outlive every overlay: k8s/components/backup/claim.yaml. */
const CLAIMS: readonly string[] = ['aizumi-backups'];

type Labels = Record<string, string>;
type Fault = string | false;

/** Created by hand in the cluster, so that no secret is in this repository: Secret → keys. See docs/operations.md. */
const SECRETS: Readonly<Record<string, string[]>> = {
  'aizumi-redis': ['password', 'url'],
  'aizumi-api-keys': ['keys.yaml'],
  'aizumi-keda': ['token'],
};

export function referenceFaults(docs: Doc[]): string[] {
  const faults = [
    ...once(docs),
    ...docs.flatMap((doc) => about(doc, selectorFaults(doc, docs))),
    ...ofKind(docs, 'Service').flatMap((service) => about(service, portFaults(service, docs))),
    ...ofKind(docs, 'NetworkPolicy').flatMap((policy) => about(policy, policyFaults(policy, docs))),
    ...workloads(docs).flatMap((workload) => about(workload, workloadFaults(workload, docs))),
    ...ofKind(docs, 'HorizontalPodAutoscaler').flatMap((doc) => about(doc, autoscalerFaults(doc, docs))),
    ...ofKind(docs, 'PodMonitor').flatMap((doc) => about(doc, podMonitorFaults(doc, docs))),
    ...ofKind(docs, 'ScaledObject').flatMap((doc) => about(doc, scaledObjectFaults(doc, docs))),
    ...ofKind(docs, 'HTTPRoute').flatMap((doc) => about(doc, routeFaults(doc, docs))),
    ...ofKind(docs, 'TriggerAuthentication').flatMap((doc) => about(doc, triggerAuthenticationFaults(doc))),
  ];
  return faults;
}

const about = (doc: Doc, faults: Fault[]): string[] =>
  faults.filter((fault) => fault !== false).map((fault) => `${nameOf(doc)}: ${fault}`);

function once(docs: Doc[]): string[] {
  const names = docs.map(nameOf);
  const twice = names.filter((name, i) => names.indexOf(name) !== i).map((name) => `${name} is there twice`);
  const elsewhere = docs.filter((doc) => doc.metadata.namespace !== NAMESPACE);
  const lost = ofKind(docs, 'Namespace', 'PersistentVolumeClaim');
  return [
    ...twice,
    ...elsewhere.map((doc) => `${nameOf(doc)} is in another namespace`),
    ...lost.map((doc) => `${nameOf(doc)} would be deleted with the overlay, and the messages with it`),
  ];
}

const matches = (labels: Labels, wanted: Labels): boolean =>
  Object.entries(wanted).every(
    // set by the StatefulSet's controller
    ([name, value]) => labels[name] === value || name === 'statefulset.kubernetes.io/pod-name',
  );

/** The workloads whose pods a selector matches; a selected pod of a StatefulSet must exist. */
function selected(docs: Doc[], wanted: Labels): Doc[] {
  const pod = wanted['statefulset.kubernetes.io/pod-name'];
  return workloads(docs).filter(
    ({ metadata, spec }) =>
      matches(spec.template.metadata.labels as Labels, wanted) &&
      (pod === undefined || Array.from({ length: spec.replicas }, (_, i) => `${metadata.name}-${i}`).includes(pod)),
  );
}

function selectorFaults({ kind, spec }: Doc, docs: Doc[]): Fault[] {
  const wanted: Labels | undefined = kind === 'Service' ? spec.selector : spec?.selector?.matchLabels;
  return [
    wanted !== undefined && selected(docs, wanted).length !== 1 && `its selector takes the pods of not one workload`,
  ];
}

const portsOf = (workload: Doc): Doc[] => containersOf(workload).flatMap(({ ports = [] }) => ports as Doc[]);
const hasPort = (workload: Doc, port: string | number): boolean =>
  portsOf(workload).some(({ name, containerPort }) => port === name || port === containerPort);

function portFaults({ spec }: Doc, docs: Doc[]): Fault[] {
  const pods = selected(docs, spec.selector as Labels);
  return (spec.ports as Doc[]).map(
    ({ port, targetPort = port }) => !pods.every((pod) => hasPort(pod, targetPort)) && `no port ${targetPort}`,
  );
}

/** Prometheus silently skips a port that the pods do not have. */
function podMonitorFaults({ spec }: Doc, docs: Doc[]): Fault[] {
  const pods = selected(docs, spec.selector.matchLabels as Labels);
  return (spec.podMetricsEndpoints as Doc[]).map(
    ({ port }) => !pods.every((pod) => hasPort(pod, port as string)) && `no port ${port}`,
  );
}

function policyFaults({ spec }: Doc, docs: Doc[]): Fault[] {
  const chosen = (selector: Doc): Doc[] => selected(docs, (selector.matchLabels ?? {}) as Labels);
  const rules = (list: Doc[] | undefined, side: 'from' | 'to'): Fault[] =>
    (list ?? []).flatMap((rule) => {
      const peers = ((rule[side] ?? []) as Doc[]).flatMap(({ podSelector, namespaceSelector }) =>
        podSelector && !namespaceSelector ? [chosen(podSelector as Doc)] : [],
      );
      const listeners = side === 'from' ? chosen(spec.podSelector as Doc) : peers.flat();
      const named = ((rule.ports ?? []) as Doc[]).filter(({ port }) => typeof port === 'string');
      return [
        ...peers.map((pods) => pods.length === 0 && 'a rule takes no pods'),
        // with one Redis there are no Sentinels
        ...named.map(
          ({ port }) => port !== 'sentinel' && !listeners.some((pod) => hasPort(pod, port)) && `no port ${port}`,
        ),
      ];
    });
  return [
    chosen(spec.podSelector as Doc).length === 0 && 'it takes no pods',
    ...rules(spec.ingress as Doc[], 'from'),
    ...rules(spec.egress as Doc[], 'to'),
  ];
}

function workloadFaults({ kind, spec }: Doc, docs: Doc[]): Fault[] {
  const pod = spec.template.spec as Doc;
  const labels = spec.template.metadata.labels as Labels;
  const spread = [
    ...((pod.topologySpreadConstraints ?? []) as Doc[]),
    ...((pod.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) as Doc[]),
  ];
  const volumes = [
    ...((pod.volumes ?? []) as Doc[]),
    ...((spec.volumeClaimTemplates ?? []) as Doc[]).map(({ metadata }) => metadata as Doc),
  ];
  const isThere = (wantedKind: string, name: string | undefined): boolean =>
    name === undefined || ofKind(docs, wantedKind).some(({ metadata }) => metadata.name === name);
  const headless = ofKind(docs, 'Service').find(({ metadata }) => metadata.name === spec.serviceName);
  return [
    ...spread.map(
      ({ labelSelector }) => !matches(labels, labelSelector.matchLabels as Labels) && 'spread over pods of others',
    ),
    ...((pod.volumes ?? []) as Doc[]).map(
      ({ secret }) => secret !== undefined && !(secret.secretName in SECRETS) && `no Secret ${secret.secretName}`,
    ),
    ...((pod.volumes ?? []) as Doc[]).map(
      ({ configMap }) => !isThere('ConfigMap', configMap?.name) && `no ConfigMap ${configMap?.name}`,
    ),
    ...((pod.volumes ?? []) as Doc[]).map(
      ({ persistentVolumeClaim: claim }) => claim !== undefined && claimFault(String(claim.claimName), docs),
    ),
    !isThere('ServiceAccount', pod.serviceAccountName) && `no ServiceAccount ${pod.serviceAccountName}`,
    kind === 'StatefulSet' && headless?.spec.clusterIP !== 'None' && `no headless Service ${spec.serviceName}`,
    ...containersOf({ spec }).flatMap((container) => containerFaults(container, volumes, docs, isThere)),
  ];
}

/** A claim is one of CLAIMS, or created by a StatefulSet for one of its pods. */
function claimFault(name: string, docs: Doc[]): Fault {
  const made = ofKind(docs, 'StatefulSet').flatMap(({ metadata, spec }) =>
    ((spec.volumeClaimTemplates ?? []) as Doc[]).flatMap((template) =>
      Array.from({ length: spec.replicas }, (_, i) => `${template.metadata.name}-${metadata.name}-${i}`),
    ),
  );
  return ![...CLAIMS, ...made].includes(name) && `no claim ${name}`;
}

function containerFaults(
  container: Doc,
  volumes: Doc[],
  docs: Doc[],
  isThere: (kind: string, name?: string) => boolean,
): Fault[] {
  const { env = [], envFrom = [], volumeMounts = [], ports = [] } = container as Record<string, Doc[]>;
  const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe].filter(Boolean) as Doc[];
  const scripts = ofKind(docs, 'ConfigMap').flatMap(({ data }) => Object.keys(data as object));
  const words = [container.command ?? [], ...probes.map(({ exec }) => exec?.command ?? [])].flat() as string[];
  const files = words.filter((word) => /^\/(opt|etc)\//.test(word)).map((word) => word.split('/').at(-1)!);
  return [
    ...volumeMounts.map(({ name }) => !volumes.some((volume) => volume.name === name) && `no volume ${name}`),
    ...envFrom.map(
      ({ configMapRef }) => !isThere('ConfigMap', configMapRef?.name) && `no ConfigMap ${configMapRef?.name}`,
    ),
    ...env.map(({ valueFrom }) => secretFault(valueFrom?.secretKeyRef as Doc | undefined)),
    ...probes.map(
      ({ httpGet }) =>
        httpGet !== undefined &&
        !ports.some(({ name, containerPort }) => [name, containerPort].includes(httpGet.port)) &&
        `no port ${httpGet.port}`,
    ),
    ...files.map((file) => !scripts.includes(file) && `no ConfigMap has ${file}`),
  ];
}

const secretFault = (ref: Doc | undefined): Fault =>
  ref !== undefined &&
  !SECRETS[ref.name as string]?.includes(ref.key as string) &&
  `no Secret ${ref.name} with ${ref.key}`;

function autoscalerFaults({ spec }: Doc, docs: Doc[]): Fault[] {
  const { kind, name } = spec.scaleTargetRef as Doc;
  const target = ofKind(docs, kind as string).find(({ metadata }) => metadata.name === name);
  return [
    target === undefined && `no ${kind} ${name}`,
    target?.spec.replicas !== undefined && 'replicas are set beside the autoscaler: each apply would undo its work',
    spec.minReplicas > spec.maxReplicas && 'more at least than at most',
  ];
}

/** The scaled Deployment belongs to the user. */
function scaledObjectFaults({ spec }: Doc, docs: Doc[]): Fault[] {
  return (spec.triggers as Doc[]).map(({ metadata, authenticationRef }) => {
    const named = ofKind(docs, 'TriggerAuthentication').map((doc) => doc.metadata.name as string);
    if (metadata.authMode !== 'bearer' || !named.includes(authenticationRef?.name as string))
      return 'it asks for a queue without a key';
    const { hostname, port, pathname } = new URL(metadata.url as string);
    const service = ofKind(docs, 'Service').find(
      (doc) => `${doc.metadata.name}.${doc.metadata.namespace}.svc.cluster.local` === hostname,
    );
    if (!service?.spec.ports.some((exposed: Doc) => String(exposed.port) === port))
      return `no Service ${hostname}:${port}`;
    return (
      (!/^\/queues\/\d+$/.test(pathname) || metadata.valueLocation !== 'queue.waiting') &&
      `${pathname} tells no ${metadata.valueLocation}`
    );
  });
}

/** Routes must lead to workers, allow enough time for a waiting RECV and a late confirmation, and not retry requests. */
function routeFaults({ spec }: Doc, docs: Doc[]): Fault[] {
  const services = ofKind(docs, 'Service');
  return (spec.rules as Doc[]).flatMap(({ backendRefs, timeouts, retry }) => [
    ...(backendRefs as Doc[]).map(
      ({ name, port }) =>
        !services.some(
          ({ metadata, spec: { ports } }) =>
            metadata.name === name && (ports as Doc[]).some((exposed) => exposed.port === port),
        ) && `no Service ${name}:${port}`,
    ),
    retry !== undefined && 'it repeats requests',
    ...['request', 'backendRequest'].map(
      (which) => !(Number.parseInt(timeouts?.[which] as string, 10) >= 70) && `it waits too short a time: ${which}`,
    ),
  ]);
}

/** The scaler recognizes parameters by their names. */
function triggerAuthenticationFaults({ spec }: Doc): Fault[] {
  return (spec.secretTargetRef as Doc[]).flatMap(({ parameter, name, key }) => [
    parameter !== 'token' && `its bearer token is called token, not ${parameter}`,
    secretFault({ name, key }),
  ]);
}
