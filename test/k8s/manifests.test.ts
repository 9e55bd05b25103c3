// k8s/ without a cluster: npm run test:k8s. Renders every overlay and checks what an API server would check, and more.
import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { parse } from 'yaml';
import { ask } from '../../harness/ask.js';
import { startBroker } from '../../harness/broker.js';
import { startRedisServer } from '../../harness/redis-server.js';
import { referenceFaults } from './references.js';
import { NAMESPACE, OVERLAYS, nameOf, ofKind, render, renderFolder } from './render.js';
import type { Doc } from './render.js';
import { ruleFaults } from './rules.js';
import { schemaFaults } from './schema.js';

const faultsOf = (docs: Doc[]): string[] => [...schemaFaults(docs), ...referenceFaults(docs), ...ruleFaults(docs)];

const one = (docs: Doc[], kind: string, name: string): Doc =>
  docs.find((doc) => doc.kind === kind && String(doc.metadata.name).startsWith(name))!;
const worker = (docs: Doc[]): Doc => one(docs, 'Deployment', 'aizumi').spec.template.spec as Doc;
const redis = (docs: Doc[]): Doc => one(docs, 'StatefulSet', 'redis').spec.template.spec as Doc;
const config = (docs: Doc[]): Doc => one(docs, 'ConfigMap', 'aizumi').data as Doc;

/** Plausible mistakes in the production overlay with metrics. */
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

/** Plausible mistakes in the production overlay with KEDA. */
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

const backup = (docs: Doc[]): Doc => one(docs, 'CronJob', 'aizumi-backup').spec as Doc;
const backupPod = (docs: Doc[]): Doc => backup(docs).jobTemplate.spec.template.spec as Doc;
const route = (docs: Doc[]): Doc => one(docs, 'HTTPRoute', 'aizumi').spec as Doc;

/** Plausible mistakes in the overlay with everything. */
const MISTAKES_OF_THE_REST: Readonly<Record<string, (docs: Doc[]) => unknown>> = {
  'a backup into a claim that nobody is told to make': (docs) =>
    (backupPod(docs).volumes[0].persistentVolumeClaim.claimName = 'backups'),
  'a claim that goes with the overlay': (docs) =>
    docs.push({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'x', namespace: NAMESPACE } }),
  'a namespace that goes with the overlay': (docs) =>
    docs.push({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, namespace: NAMESPACE } }),
  'two backups at once': (docs) => (backup(docs).concurrencyPolicy = 'Allow'),
  'a backup that hangs for ever': (docs) => delete backup(docs).jobTemplate.spec.activeDeadlineSeconds,
  'a backup at the hour of nobody knows where': (docs) => delete backup(docs).timeZone,
  'a backup that may be root': (docs) => (backupPod(docs).securityContext.runAsNonRoot = false),
  'a backup without limits': (docs) => delete backupPod(docs).containers[0].resources.limits,
  'a backup whose script is elsewhere': (docs) => (backupPod(docs).containers[0].command[1] = '/opt/backup/save.sh'),
  'a misspelt field of the backup': (docs) => (backup(docs).jobTemplate.spec.backofLimit = 1),
  'a backup that Redis does not let in': (docs) =>
    (one(docs, 'NetworkPolicy', 'backup-asks').spec.ingress[0].from[0].podSelector.matchLabels = { app: 'backup' }),
  'what the API server writes in another way': (docs) =>
    (backupPod(docs).containers[0].resources.limits = { cpu: '1000m', memory: '1024Mi' }),
  'a route to a Service that is not there': (docs) => (route(docs).rules[0].backendRefs[0].port = 80),
  'a route that repeats requests': (docs) => (route(docs).rules[0].retry = { attempts: 2 }),
  'a route that waits for less than a RECV': (docs) => (route(docs).rules[0].timeouts.request = '15s'),
  'a misspelt field of the route': (docs) => (route(docs).hostname = 'aizumi.example.com'),
};

/** The difference between two overlays: `+` only in the second, `-` only in the first, `~` in both but not equal. */
function difference(first: Doc[], second: Doc[]): string[] {
  // the suffix of generated objects is the digest of their contents
  const plain = (docs: Doc[]): Map<string, string> =>
    new Map(
      docs.map((doc) => {
        const text = JSON.stringify(doc);
        return [nameOf(doc).replace(/-[a-z0-9]{10}$/, ''), text.replace(/\baizumi-[a-z0-9]{10}\b/g, 'aizumi')];
      }),
    );
  const [before, after] = [plain(first), plain(second)];
  return [
    ...[...after.keys()].filter((name) => !before.has(name)).map((name) => `+ ${name}`),
    ...[...before].flatMap(([name, text]) => {
      if (!after.has(name)) return [`- ${name}`];
      return after.get(name) === text ? [] : [`~ ${name}`];
    }),
  ].sort();
}

const OF_GATEWAY = ['+ HTTPRoute aizumi', '+ NetworkPolicy gateway-reaches-workers'];
const OF_KEDA = [
  '+ NetworkPolicy keda-asks-workers',
  '+ ScaledObject receivers-of-100',
  '+ TriggerAuthentication aizumi-keda',
];
const OF_MONITORING = [
  '+ ConfigMap dashboard-of-aizumi',
  '+ NetworkPolicy prometheus-scrapes-workers',
  '+ PodMonitor aizumi',
  '+ PrometheusRule aizumi',
  '~ ConfigMap aizumi',
  '~ Deployment aizumi',
];
const OF_BACKUP = [
  '+ ConfigMap backup-scripts',
  '+ CronJob aizumi-backup',
  '+ NetworkPolicy backup',
  '+ NetworkPolicy backup-asks-redis',
];

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

      it('has only objects that can be deleted without losing a message', () =>
        expect(ofKind(docs, 'Namespace', 'PersistentVolumeClaim')).to.deep.equal([]));

      if (overlay === 'external-redis') {
        it('has no Redis', () => {
          expect(ofKind(docs, 'StatefulSet', 'CronJob')).to.deep.equal([]);
          expect(JSON.stringify(docs)).not.to.include('"app.kubernetes.io/name":"redis"');
        });
        return;
      }

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
    ['production-full', MISTAKES_OF_THE_REST],
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

  describe('the difference of an overlay to production', () => {
    const changes: Record<string, string[]> = {
      'production-backup': OF_BACKUP,
      'production-full': [...OF_BACKUP, '+ PrometheusRule aizumi-backup', ...OF_GATEWAY, ...OF_KEDA, ...OF_MONITORING],
      'production-gateway': OF_GATEWAY,
      'production-keda': OF_KEDA,
      'production-monitored': OF_MONITORING,
    };
    it('is checked for every overlay', () =>
      expect(OVERLAYS.filter((name) => name.startsWith('production-'))).to.deep.equal(Object.keys(changes).sort()));

    for (const [overlay, expected] of Object.entries(changes))
      it(`is only what its name says: ${overlay}`, async () => {
        const [plain, other] = [await render('production'), await render(overlay)];
        expect(difference(plain, other)).to.deep.equal([...expected].sort());
      });

    it('is only the metrics port and its setting: production-monitored', async () => {
      const [plain, other] = [await render('production'), await render('production-monitored')];
      const { AIZUMI_METRICS_PORT: port, ...rest } = config(other);
      expect(port).to.equal('9464');
      expect(rest).to.deep.equal(config(plain));
      const pod = worker(other);
      pod.containers[0].ports = (pod.containers[0].ports as Doc[]).filter(({ name }) => name !== 'metrics');
      pod.containers[0].envFrom = worker(plain).containers[0].envFrom;
      expect(pod).to.deep.equal(worker(plain));
    });
  });

  it('has separate files for objects that must outlive every overlay', () => {
    const files = ['k8s/base/namespace.yaml', 'k8s/components/backup/claim.yaml'];
    const docs = files.map((file) => parse(readFileSync(file, 'utf8')) as Doc);
    expect(schemaFaults(docs)).to.deep.equal([]);
    expect(docs.map(nameOf)).to.deep.equal([`Namespace ${NAMESPACE}`, 'PersistentVolumeClaim aizumi-backups']);
    expect(docs[0]!.metadata.labels['pod-security.kubernetes.io/enforce']).to.equal('restricted');
    expect(docs[1]!.metadata.namespace).to.equal(NAMESPACE);
  });

  describe('restore', () => {
    let production: Doc[];
    let docs: Doc[];
    before(async () => {
      production = await render('production');
      docs = await renderFolder('k8s/restore');
    });

    it('has no fault together with production', () => expect(faultsOf([...production, ...docs])).to.deep.equal([]));

    it('shares no object with production, so that deleting it does not affect production', () => {
      const names = production.map(nameOf);
      expect(docs.map(nameOf).filter((name) => names.includes(name))).to.deep.equal([]);
    });

    it('has a Job for the volume claim of each node, which knows its node', () => {
      const { replicas, template } = one(production, 'StatefulSet', 'redis').spec as Doc;
      const nodes = template.spec.containers[0].env.find(({ name }: Doc) => name === 'NODES').value as string;
      expect(nodes.split(' ')).to.have.length(replicas as number);
      nodes.split(' ').forEach((node, i) => {
        const pod = one(docs, 'Job', `restore-node-${i}`).spec.template.spec as Doc;
        const env = pod.containers[0].env as Doc[];
        expect(env.find(({ name }) => name === 'SELF')!.value).to.equal(node);
        expect(env.find(({ name }) => name === 'NODES')!.value).to.equal(nodes);
        const claims = (pod.volumes as Doc[]).map(({ persistentVolumeClaim: claim }) => claim?.claimName as unknown);
        expect(claims.filter(Boolean)).to.deep.equal([`data-${node}`]);
        // as in the pods of the nodes
        expect(pod.securityContext).to.deep.equal(template.spec.securityContext);
        expect(pod.containers[0].image).to.equal(template.spec.containers[0].image);
      });
    });
  });
});
