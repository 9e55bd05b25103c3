// The Redis of k8s/overlays/production without a cluster: Docker runs the containers of the rendered StatefulSet.
// Each pod is a network namespace with a fixed address, like that of its Service, and a name in DNS.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { containersOf, ofKind, render } from '../k8s/render.js';
import type { Doc } from '../k8s/render.js';
import { until } from '../../harness/until.js';
import { docker } from './stack.js';

const PODS = ['redis-0', 'redis-1', 'redis-2'];
const NETWORK = 'aizumi-test-pods';
const PASSWORD = 'a-secret';
/** Of each kind. */
const PROBES = 30;

describe('k8s: the StatefulSet of Redis, run by Docker', function () {
  this.timeout(120_000);
  let containers: Doc[];
  let conf: string;
  const address = (pod: string): string => `172.30.89.1${PODS.indexOf(pod)}`;
  const nameOf = (pod: string, container: Doc): string => `aizumi-test-${pod}-${container.name as string}`;

  before(async () => {
    const docs = await render('production');
    containers = containersOf(ofKind(docs, 'StatefulSet')[0]!);
    conf = mkdtempSync(join(tmpdir(), 'aizumi-pods-'));
    chmodSync(conf, 0o755); // readable for the user of the containers
    for (const { data } of ofKind(docs, 'ConfigMap'))
      for (const [file, text] of Object.entries(data as Record<string, string>)) writeFileSync(join(conf, file), text);
    await removeAll();
    await docker('network', 'create', '--subnet', '172.30.89.0/24', NETWORK);
    for (const pod of PODS) await startPod(pod);
  });
  after(async () => {
    await removeAll();
    rmSync(conf, { recursive: true });
  });

  async function removeAll(): Promise<void> {
    for (const pod of PODS) {
      await removePod(pod);
      await docker('volume', 'rm', '--force', `aizumi-test-${pod}`);
    }
    await docker('network', 'rm', NETWORK).catch(() => undefined); // it may not exist
  }

  const removePod = (pod: string): Promise<string> =>
    docker('rm', '--force', `aizumi-test-${pod}`, ...containers.map((container) => nameOf(pod, container)));

  /** Starts a container like the sandbox of a pod, and the containers in it. */
  async function startPod(pod: string): Promise<void> {
    const sandbox = ['--network', NETWORK, '--ip', address(pod), '--network-alias', pod, '--entrypoint', 'sleep'];
    await docker('run', '--detach', '--init', '--name', `aizumi-test-${pod}`, ...sandbox, 'redis:8-alpine', '3600');
    for (const container of containers) {
      const env = (container.env as Doc[]).flatMap(({ name, value, valueFrom }) => [
        '--env',
        `${name}=${value ?? (valueFrom.fieldRef ? pod : PASSWORD)}`,
      ]);
      const mounts = ['/etc/aizumi', '/opt/aizumi'].flatMap((path) => ['--volume', `${conf}:${path}:ro`]);
      const [program, ...args] = container.command as [string, ...string[]];
      await docker(
        ...['run', '--detach', '--name', nameOf(pod, container), '--network', `container:aizumi-test-${pod}`],
        ...[
          '--read-only',
          '--cap-drop',
          'ALL',
          '--security-opt',
          'no-new-privileges',
          '--user',
          'redis',
          ...env,
          ...mounts,
        ],
        ...['--volume', `aizumi-test-${pod}:/data`, '--entrypoint', program, container.image as string, ...args],
      );
    }
  }

  const exec = (pod: string, ...command: string[]): Promise<string> =>
    docker('exec', `aizumi-test-${pod}-redis`, ...command);
  const cli = (pod: string, ...command: string[]): Promise<string> => exec(pod, 'redis-cli', ...command);
  const role = async (pod: string): Promise<string> => (await cli(pod, 'ROLE').catch(() => 'down')).split('\n')[0]!;
  const probe = containersProbe('readinessProbe');

  function containersProbe(name: string): (pod: string) => Promise<boolean> {
    return async (pod) => {
      const command = containers.find((container) => container.name === 'redis')![name].exec.command as string[];
      return exec(pod, ...command).then(
        () => true,
        () => false,
      );
    };
  }

  const ready = (pods: string[]): Promise<true> =>
    until(`${pods.join(', ')} are ready`, async () => (await Promise.all(pods.map(probe))).every(Boolean), 60_000);

  it('fails over (with a password), and the restarted pod becomes a replica', async () => {
    await ready(PODS);
    expect(await Promise.all(PODS.map(role))).to.deep.equal(['master', 'slave', 'slave']);
    await until('a replica confirms', async () => {
      await cli('redis-0', 'SET', 'kept', 'yes');
      return (await cli('redis-0', 'WAIT', '2', '1000')) === '2';
    });

    await removePod('redis-0');
    const others = ['redis-1', 'redis-2'];
    await until('another pod is primary', async () => (await Promise.all(others.map(role))).includes('master'), 30_000);

    await startPod('redis-0');
    await ready(PODS);
    expect(await role('redis-0')).to.equal('slave');
    expect(await cli('redis-0', 'GET', 'kept')).to.equal('yes');
    expect((await cli('redis-0', 'ROLE')).split('\n')[1]).to.be.oneOf(others.map(address)); // not by its name
  });

  it('hands over when the pod of the primary is stopped', async () => {
    await ready(PODS);
    const roles = await Promise.all(PODS.map(role));
    const old = PODS[roles.indexOf('master')]!;
    const names = containers.map((container) => nameOf(old, container));
    await docker('stop', '--time', '40', ...names);
    const log = await docker('logs', names[0]!);
    expect(log).to.match(/hand-over: \S+ leads, after \d+ ms without writes/);
    expect(await docker('inspect', '--format', '{{.State.ExitCode}}', ...names)).to.match(/^0\n0$/);
    const others = PODS.filter((pod) => pod !== old);
    expect(await Promise.all(others.map(role))).to.include('master');
    await docker('start', ...names);
    await ready(PODS);
    expect(await role(old)).to.equal('slave');
  });

  it('has no zombies after many probes, and no child processes unknown to the server', async () => {
    const probes = ['startupProbe', 'livenessProbe', 'readinessProbe'];
    for (const container of containers) {
      const name = nameOf('redis-0', container);
      for (let i = 0; i < PROBES; i++)
        for (const kind of probes)
          if (container[kind]) await docker('exec', name, ...(container[kind].exec.command as string[]));
      await until('orphaned processes are reaped', async () => {
        const zombies = await docker('exec', name, 'sh', '-c', 'grep -h "^State:.Z" /proc/[0-9]*/status | wc -l');
        return zombies === '0';
      });
      expect(await docker('logs', name)).not.to.match(/can't find|unmatched pid|unknown pid/i);
    }
  });
});
