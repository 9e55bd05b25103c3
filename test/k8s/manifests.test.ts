// k8s/ without a cluster: npm run test:k8s. Renders every overlay and checks what an API server would, and what it would not.
import { expect } from 'chai';
import { ask } from '../support/ask.js';
import { startBroker } from '../support/broker.js';
import { startRedisServer } from '../support/redis-server.js';
import { referenceFaults } from './references.js';
import { OVERLAYS, render } from './render.js';
import type { Doc } from './render.js';
import { ruleFaults } from './rules.js';
import { schemaFaults } from './schema.js';

const faultsOf = (docs: Doc[]): string[] => [...schemaFaults(docs), ...referenceFaults(docs), ...ruleFaults(docs)];

const one = (docs: Doc[], kind: string, name: string): Doc =>
  docs.find((doc) => doc.kind === kind && String(doc.metadata.name).startsWith(name))!;
const worker = (docs: Doc[]): Doc => one(docs, 'Deployment', 'aizumi').spec.template.spec as Doc;
const redis = (docs: Doc[]): Doc => one(docs, 'StatefulSet', 'redis').spec.template.spec as Doc;
const config = (docs: Doc[]): Doc => one(docs, 'ConfigMap', 'aizumi').data as Doc;

/** Each is a mistake that somebody could make, in the production overlay with metrics. */
const MISTAKES_OF_MONITORING: Readonly<Record<string, (docs: Doc[]) => unknown>> = {
  'a scrape of a port that nobody has': (docs) =>
    (one(docs, 'PodMonitor', 'aizumi').spec.podMetricsEndpoints[0].port = 'prometheus'),
  'a scrape of nobody': (docs) => (one(docs, 'PodMonitor', 'aizumi').spec.selector.matchLabels = { app: 'aizumi' }),
  'a misspelt field of the PodMonitor': (docs) =>
    (one(docs, 'PodMonitor', 'aizumi').spec.podMetricsEndpoints[0].intervall = '5s'),
  'a misspelt field of a rule': (docs) =>
    (one(docs, 'PrometheusRule', 'aizumi').spec.groups[0].rules[0].annotation = {}),
  'metrics for every client': (docs) =>
    one(docs, 'NetworkPolicy', 'workers').spec.ingress[0].ports.push({ port: 'metrics' }),
  'metrics for every client, by the number': (docs) =>
    one(docs, 'NetworkPolicy', 'workers').spec.ingress[0].ports.push({ port: 9464 }),
  'all ports for every client': (docs) => delete one(docs, 'NetworkPolicy', 'workers').spec.ingress[0].ports,
  'metrics for everybody': (docs) =>
    delete one(docs, 'NetworkPolicy', 'prometheus-scrapes-workers').spec.ingress[0].from,
  'metrics for the whole cluster': (docs) =>
    (one(docs, 'NetworkPolicy', 'prometheus-scrapes-workers').spec.ingress[0].from[0] = { namespaceSelector: {} }),
  'metrics that nobody serves': (docs) => delete config(docs).AIZUMI_METRICS_PORT,
  'metrics on another port': (docs) => (config(docs).AIZUMI_METRICS_PORT = '9090'),
};

/** Each is a mistake that somebody could make, in the production overlay with KEDA. */
const MISTAKES: Readonly<Record<string, (docs: Doc[]) => unknown>> = {
  'a misspelt field': (docs) => (worker(docs).containers[0].readinesProbe = {}),
  'a misspelt field deep inside': (docs) => (worker(docs).containers[0].livenessProbe.httpGet.pth = '/livez'),
  'a field in the wrong place': (docs) => (one(docs, 'Deployment', 'aizumi').spec.containers = []),
  'a required field left out': (docs) => delete one(docs, 'StatefulSet', 'redis').spec.selector,
  'a text where a number belongs': (docs) => (one(docs, 'StatefulSet', 'redis').spec.replicas = '3'),
  'a number where a text belongs': (docs) => (config(docs).AIZUMI_WORKERS = 1),
  'an unknown kind': (docs) => (one(docs, 'Service', 'aizumi').kind = 'Servic'),
  'an API version of long ago': (docs) =>
    (one(docs, 'HorizontalPodAutoscaler', 'aizumi').apiVersion = 'autoscaling/v2beta2'),
  'a misspelt field of KEDA': (docs) => (one(docs, 'ScaledObject', 'receivers').spec.maxReplicas = 3),
  'the same object twice': (docs) => docs.push(one(docs, 'Service', 'aizumi')),
  'an object in another namespace': (docs) => (one(docs, 'Service', 'aizumi').metadata.namespace = 'default'),
  'a Service that selects nothing': (docs) => (one(docs, 'Service', 'aizumi').spec.selector = { app: 'aizumi' }),
  'a Service for a pod that is not there': (docs) =>
    (one(docs, 'Service', 'redis-2').spec.selector['statefulset.kubernetes.io/pod-name'] = 'redis-3'),
  'a selector that is not in the template': (docs) =>
    (one(docs, 'Deployment', 'aizumi').spec.selector.matchLabels = { app: 'aizumi' }),
  'a Service to a port that nobody has': (docs) => (one(docs, 'Service', 'aizumi').spec.ports[0].targetPort = 'web'),
  'a probe of a port that nobody has': (docs) => (worker(docs).containers[0].livenessProbe.httpGet.port = 'web'),
  'a budget for nobody': (docs) =>
    (one(docs, 'PodDisruptionBudget', 'redis').spec.selector.matchLabels = { app: 'redis' }),
  'a policy for nobody': (docs) =>
    (one(docs, 'NetworkPolicy', 'redis').spec.podSelector.matchLabels = { app: 'redis' }),
  'a policy with a port that nobody has': (docs) =>
    (one(docs, 'NetworkPolicy', 'redis').spec.ingress[0].ports[0].port = 'rediss'),
  'an autoscaler of nothing': (docs) =>
    (one(docs, 'HorizontalPodAutoscaler', 'aizumi').spec.scaleTargetRef.name = 'worker'),
  'replicas beside the autoscaler': (docs) => (one(docs, 'Deployment', 'aizumi').spec.replicas = 2),
  'a queue that KEDA cannot read': (docs) =>
    (one(docs, 'ScaledObject', 'receivers').spec.triggers[0].metadata.url = 'http://aizumi:80/queues/100'),
  'a ConfigMap that is not there': (docs) => (worker(docs).containers[0].envFrom[0].configMapRef.name = 'settings'),
  'a key that the Secret does not have': (docs) =>
    (worker(docs).containers[0].env[0].valueFrom.secretKeyRef.key = 'uri'),
  'a volume that is not there': (docs) => (redis(docs).containers[0].volumeMounts[0].name = 'disk'),
  'a script that is not there': (docs) => (redis(docs).containers[0].command[1] = '/opt/aizumi/run-redis.sh'),
  'a headless Service that is not': (docs) => delete one(docs, 'Service', 'redis').spec.clusterIP,
  'an image without a tag': (docs) => (worker(docs).containers[0].image = 'aizumi'),
  'an image tagged latest': (docs) => (redis(docs).containers[0].image = 'redis:latest'),
  'a container that may be root': (docs) => (worker(docs).securityContext.runAsNonRoot = false),
  'a container that keeps capabilities': (docs) => (redis(docs).containers[1].securityContext.capabilities.drop = []),
  'a container without limits': (docs) => delete redis(docs).containers[0].resources.limits,
  'service links': (docs) => delete worker(docs).enableServiceLinks,
  'liveness that depends on Redis': (docs) => (worker(docs).containers[0].livenessProbe.httpGet.path = '/readyz'),
  'a grace period shorter than the drain': (docs) => (worker(docs).terminationGracePeriodSeconds = 10),
  'a grace period shorter than a hand-over': (docs) => (redis(docs).terminationGracePeriodSeconds = 30),
  'a setting that aizumi does not know': (docs) => (config(docs).AIZUMI_LOGLEVEL = 'info'),
  'a setting that aizumi cannot parse': (docs) => (config(docs).AIZUMI_DURABILITY = 'most'),
  'workers without keys': (docs) => delete config(docs).AIZUMI_API_KEYS_FILE,
  'keys that are not where the workers look': (docs) => (config(docs).AIZUMI_API_KEYS_FILE = '/run/keys.yaml'),
  'keys that never change': (docs) => (worker(docs).containers[0].volumeMounts[0].subPath = 'keys.yaml'),
  'a Secret that nobody is told to make': (docs) => (worker(docs).volumes[0].secret.secretName = 'keys'),
  'KEDA without a key': (docs) => delete one(docs, 'ScaledObject', 'receivers').spec.triggers[0].metadata.authMode,
  'KEDA with a key of nobody': (docs) =>
    (one(docs, 'ScaledObject', 'receivers').spec.triggers[0].authenticationRef.name = 'keda'),
  'a key by a name that KEDA does not know': (docs) =>
    (one(docs, 'TriggerAuthentication', 'aizumi').spec.secretTargetRef[0].parameter = 'bearerToken'),
  'no address of Redis': (docs) => delete worker(docs).containers[0].env,
};

describe('k8s', function () {
  this.timeout(60_000);

  for (const overlay of OVERLAYS) {
    describe(`overlay ${overlay}`, () => {
      let docs: Doc[];
      before(async () => void (docs = await render(overlay)));

      it('has no fault', () => expect(faultsOf(docs)).to.deep.equal([]));

      it('has probes that a real worker answers', async () => {
        const [container] = worker(docs).containers as [Doc];
        const broker = await startBroker();
        try {
          for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
            expect((await fetch(new URL(container[probe].httpGet.path as string, broker.url))).status, probe).to.equal(
              200,
            );
        } finally {
          await broker.stop();
        }
      });

      it('has a redis.conf with which a real Redis starts', async () => {
        const files = one(docs, 'ConfigMap', 'redis-conf').data as Record<string, string>;
        const server = await startRedisServer({ conf: `${files['redis.conf']}\n${files['replicated.conf']}` });
        try {
          expect(await ask(server.port, 'CONFIG', 'GET', 'appendfsync')).to.deep.equal(['appendfsync', 'always']);
          expect(await ask(server.port, 'CONFIG', 'GET', 'min-replicas-to-write')).to.deep.equal([
            'min-replicas-to-write',
            '1',
          ]);
        } finally {
          await server.stop();
        }
      });
    });
  }

  for (const [overlay, mistakes] of [
    ['production-keda', MISTAKES],
    ['production-monitored', MISTAKES_OF_MONITORING],
  ] as const)
    describe(`a mistake is found in ${overlay}`, () => {
      let text: string;
      before(async () => void (text = JSON.stringify(await render(overlay))));

      for (const [mistake, make] of Object.entries(mistakes))
        it(mistake, () => {
          const docs = JSON.parse(text) as Doc[];
          make(docs);
          expect(faultsOf(docs)).not.to.be.empty;
        });
    });
});
