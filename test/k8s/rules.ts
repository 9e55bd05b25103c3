// Our rules for workloads in the cluster: confined as in the restricted profile, stopped in time, with valid settings.
import { basename, dirname } from 'node:path';
import { readKeys } from '../../src/access/keys-file.js';
import { loadConfig } from '../../src/config/config.js';
import { containersOf, nameOf, ofKind, workloads } from './render.js';
import type { Doc } from './render.js';

/** A worker drains for at most 9.5 s. */
const DRAIN_S = 9.5;
/** For the stop of a Redis: a hand-over, the time to give it up if no node answers, and the wait for its replicas. */
const HAND_OVER_S = 12 + 8 + 10;
/** A placeholder for the value of a Secret. */
const FROM_SECRET = 'redis+sentinel://:secret@redis-0,redis-1,redis-2/mymaster';

export function ruleFaults(docs: Doc[]): string[] {
  return [...metricsFaults(docs), ...workloadFaults(docs), ...scheduleFaults(docs), ...docs.flatMap(rewrittenFaults)];
}

/** Only the scraper may reach the metrics port: no policy admits others to it, and each policy names its ports. */
function metricsFaults(docs: Doc[]): string[] {
  return ofKind(docs, 'NetworkPolicy').flatMap((policy) =>
    ((policy.spec.ingress ?? []) as Doc[]).flatMap(({ from = [], ports = [] }) => {
      const opens =
        (ports as Doc[]).length === 0 ||
        (ports as Doc[]).some(({ port }) => !['http', 'redis', 'sentinel'].includes(port));
      const peers = from as Doc[];
      const isScraper =
        peers.length > 0 &&
        peers.every(
          ({ namespaceSelector: space, podSelector: pod }) =>
            space?.matchLabels?.['kubernetes.io/metadata.name'] === 'monitoring' &&
            pod?.matchLabels?.['app.kubernetes.io/name'] === 'prometheus',
        );
      return must(!opens || isScraper, `${nameOf(policy)}: others than the scraper reach the metrics`);
    }),
  );
}

function workloadFaults(docs: Doc[]): string[] {
  return workloads(docs).flatMap((workload) => {
    const pod = workload.spec.template.spec as Doc;
    const faults = [
      ...podFaults(pod),
      ...containersOf(workload).flatMap((container) => containerFaults(container)),
      ...(isJob(workload)
        ? jobFaults(workload)
        : containersOf(workload).flatMap(({ name, livenessProbe }) =>
            must(livenessProbe !== undefined, `${name}: no liveness probe`),
          )),
      ...(workload.kind === 'Deployment' ? workerFaults(workload) : []),
      ...must(
        !containersOf(workload).some(({ command = [] }) => (command as string[])[1]?.endsWith('/init.sh')) ||
          pod.terminationGracePeriodSeconds > HAND_OVER_S,
        'is killed before it has handed over',
      ),
      ...containersOf(workload).flatMap((container) => settingFaults(container, docs)),
    ];
    return faults.map((fault) => `${nameOf(workload)}: ${fault}`);
  });
}

const isJob = ({ kind }: Doc): boolean => kind === 'Job' || kind === 'CronJob';

function jobFaults({ spec }: Doc): string[] {
  return [
    ...must(spec.activeDeadlineSeconds > 0, 'may hang for ever'),
    ...must(spec.backoffLimit >= 0 && spec.backoffLimit <= 3, 'is repeated too often'),
    ...must(spec.template.spec.restartPolicy === 'Never', 'a restart in place loses the log of what failed'),
  ];
}

function scheduleFaults(docs: Doc[]): string[] {
  return ofKind(docs, 'CronJob').flatMap(({ spec, ...doc }) =>
    [
      ...must(spec.concurrencyPolicy === 'Forbid', 'two may run at once'),
      ...must(spec.startingDeadlineSeconds > 0, 'one that is missed is not made up for, or at any time'),
      ...must(spec.timeZone !== undefined, 'its hours are those of the control plane'),
    ].map((fault) => `${nameOf(doc)}: ${fault}`),
  );
}

/** What the API server would write in another way, so that `kubectl diff` would show it for ever: `1000m` for 1, `1024Mi` for 1Gi. */
function rewrittenFaults(doc: Doc): string[] {
  const faults: string[] = [];
  const walk = (value: unknown, path: string): void => {
    if (value === null) faults.push(`${path} is null`);
    if (value === null || typeof value !== 'object') return;
    if (/\/(requests|limits)$/.test(path))
      for (const [what, amount] of Object.entries(value))
        if (typeof amount !== 'string' || amount.endsWith('000m') || isMore(amount))
          faults.push(`${path}/${what}: ${amount}`);
    for (const [name, child] of Object.entries(value)) walk(child, `${path}/${name}`);
  };
  walk(doc.spec, '');
  return faults.map((fault) => `${nameOf(doc)}: the API server writes this in another way: ${fault}`);
}

const isMore = (amount: string): boolean => {
  const [, number, unit = ''] = /^(\d+)(Ki|Mi|Gi)?$/.exec(amount) ?? [];
  return unit !== '' && Number(number) % 1024 === 0;
};

const must = (holds: boolean, fault: string): string[] => (holds ? [] : [fault]);

const podFaults = ({ securityContext, enableServiceLinks, automountServiceAccountToken, ...pod }: Doc): string[] => [
  ...must(securityContext?.runAsNonRoot === true && securityContext.runAsUser > 0, 'may run as root'),
  ...must(securityContext?.seccompProfile?.type === 'RuntimeDefault', 'no seccomp profile'),
  ...must(enableServiceLinks === false, 'service links would set AIZUMI_* variables that stop the start'),
  ...must(automountServiceAccountToken === false, 'gets a token'),
  ...must(!pod.hostNetwork && !pod.hostPID && !pod.hostIPC, 'shares what is the host’s'),
];

function containerFaults({ name, image, securityContext, resources }: Doc): string[] {
  const { limits, requests } = (resources ?? {}) as Record<string, Doc | undefined>;
  return [
    ...must(/^[^:@]+:(?!latest$)[\w.-]+$/.test(String(image)), `image ${image} has no tag`),
    ...must(securityContext?.allowPrivilegeEscalation === false, 'may gain privileges'),
    ...must(securityContext?.readOnlyRootFilesystem === true, 'writes to its root'),
    ...must(securityContext?.capabilities?.drop?.includes('ALL') === true, 'keeps capabilities'),
    ...must(
      ['cpu', 'memory'].every((what) => limits?.[what] && requests?.[what]),
      'no requests or limits',
    ),
  ].map((fault) => `${name}: ${fault}`);
}

function workerFaults({ spec }: Doc): string[] {
  const pod = spec.template.spec as Doc;
  const [{ lifecycle, livenessProbe, readinessProbe, startupProbe }] = pod.containers as [Doc];
  const sleepS = Number(lifecycle?.preStop?.sleep?.seconds ?? 0);
  return [
    ...must(sleepS > 0, 'no preStop: SIGTERM may come before the Service has let go of it'),
    ...must(pod.terminationGracePeriodSeconds > sleepS + DRAIN_S, 'is killed before it has drained'),
    ...must(spec.strategy?.rollingUpdate?.maxUnavailable === 0, 'an update takes workers away'),
    ...must(livenessProbe?.httpGet?.path === '/livez', 'an absent Redis would restart it'),
    ...must(readinessProbe?.httpGet?.path === '/readyz' && startupProbe !== undefined, 'takes requests without Redis'),
  ];
}

/** The settings with which the process of the container would start. */
function settingFaults(container: Doc, docs: Doc[]): string[] {
  const env: Record<string, string> = {};
  for (const { configMapRef } of (container.envFrom ?? []) as Doc[]) {
    const found = ofKind(docs, 'ConfigMap').find(({ metadata }) => metadata.name === configMapRef?.name);
    Object.assign(env, found?.data);
  }
  for (const { name, value, valueFrom } of (container.env ?? []) as Doc[])
    env[name as string] = valueFrom ? FROM_SECRET : (value as string);
  // as the Dockerfile sets it
  if (container.name === 'aizumi') env.AIZUMI_HOST = '0.0.0.0';
  try {
    const { redisUrl, metricsPort, apiKeysFile = '' } = loadConfig(env);
    const named = ((container.ports ?? []) as Doc[]).find(({ name }) => name === 'metrics')?.containerPort as unknown;
    const port = must(named === metricsPort, `metrics are at port ${metricsPort}, and the pod says ${String(named)}`);
    if (container.name !== 'aizumi') return port;
    const mounted = ((container.volumeMounts ?? []) as Doc[]).find(
      ({ mountPath }) => mountPath === dirname(apiKeysFile),
    );
    return [
      ...port,
      ...must(redisUrl !== undefined, 'no AIZUMI_REDIS_URL: it would look for redis-server'),
      ...must(mounted?.name === 'api-keys' && basename(apiKeysFile) === 'keys.yaml', 'the keys are not where it looks'),
      ...must(mounted?.readOnly === true && mounted.subPath === undefined, 'the keys can be written, or never change'),
      ...keysFaults(docs),
    ];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** A value from the Secret that an overlay creates itself. */
function keysFaults(docs: Doc[]): string[] {
  return ofKind(docs, 'Secret').flatMap(({ metadata, data, immutable }) => {
    try {
      const { size } = readKeys(Buffer.from(data['keys.yaml'] as string, 'base64').toString());
      return [
        ...must(size > 0, `${metadata.name} has no key`),
        ...must(metadata.name === 'aizumi-api-keys', `nobody reads ${metadata.name}`),
        ...must(immutable !== true, `${metadata.name} cannot change`),
      ];
    } catch (error) {
      return [(error as Error).message];
    }
  });
}
