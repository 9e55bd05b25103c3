// scripts/setup.mjs in a project of its own, with only stubs on its PATH, which record their calls.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const LOCK = {
  packages: {
    '': { name: 'a-project' },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-o', optional: true },
  },
};
const AS_ROOT = 'process.getuid = () => 0';
const AS_PERSON = 'process.getuid = () => 1000';

describe('setup', () => {
  let root: string;
  const at = (path: string) => join(root, path);
  const write = (path: string, content: unknown) => {
    writeFileSync(at(path), typeof content === 'string' ? content : JSON.stringify(content));
  };
  const calls = () => (existsSync(at('calls')) ? readFileSync(at('calls'), 'utf8').trim().split('\n') : []);

  /** Puts a program on the PATH that records its call, then runs `script`. */
  const stub = (name: string, script = '', folder = 'bin') => {
    write(`${folder}/${name}`, `#!/bin/sh\necho "${name} $*" >>'${at('calls')}'\n${script}\n`);
    chmodSync(at(`${folder}/${name}`), 0o755);
  };
  const install = () => `: >'${at('bin/redis-server')}'; chmod +x '${at('bin/redis-server')}'`;
  const sudo = () => {
    stub('sudo', 'shift; "$@"');
  };

  const setup = (purpose = 'start', env: Record<string, string> = {}, first = AS_ROOT) => {
    const args = ['--import', `data:text/javascript,${encodeURIComponent(first)}`, at('scripts/setup.mjs'), purpose];
    const options = { env: { PATH: at('bin'), ...env }, encoding: 'utf8' as const };
    const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
    return { status, stdout, stderr };
  };
  const SILENT = { status: 0, stdout: '', stderr: '' };

  /** Copies a script, with the paths of this machine replaced by paths in the project. */
  const copyWith = (path: string, from: string, to: string) => {
    const text = readFileSync(join(repository, path), 'utf8');
    expect(text).to.include(from);
    write(path, text.replace(from, to));
  };

  beforeEach(async () => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'aizumi-setup-')));
    for (const folder of ['bin', 'sbin', 'scripts', 'src', 'dist', 'node_modules']) mkdirSync(at(folder));
    for (const tool of ['sh', 'chmod', 'cp', 'mkdir', 'rm']) symlinkSync(`/bin/${tool}`, at(`bin/${tool}`));
    for (const path of ['scripts/build.mjs', 'scripts/fingerprint.mjs', 'tsconfig.json', 'tsconfig.build.json']) {
      cpSync(join(repository, path), at(path));
    }
    copyWith(
      'scripts/setup.mjs',
      "'/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/sbin', '/opt/homebrew/bin'",
      `'${at('sbin')}'`,
    );
    copyWith('scripts/apt-redis.sh', '/usr/sbin/policy-rc.d', at('policy-rc.d'));
    write('package.json', { type: 'module' });
    write('package-lock.json', LOCK);
    write('node_modules/.package-lock.json', { packages: { 'node_modules/a': LOCK.packages['node_modules/a'] } });
    for (const name of ['typescript', '@types']) {
      symlinkSync(join(repository, 'node_modules', name), at(`node_modules/${name}`));
    }
    write('src/index.ts', 'export const one: number = 1;\n');
    const { fingerprint } = (await import(pathToFileURL(at('scripts/fingerprint.mjs')).href)) as {
      fingerprint: () => string;
    };
    write('dist/.stamp', fingerprint());
    stub('redis-server');
    stub('npm', 'mkdir -p node_modules; cp package-lock.json node_modules/.package-lock.json');
  });

  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  it('does nothing and prints nothing if nothing is missing', () => {
    expect(setup('start')).to.deep.equal(SILENT);
    expect(setup('test')).to.deep.equal(SILENT);
    expect(calls()).to.deep.equal([]);
  });

  for (const old of ['18.20.8', '20.18.3']) {
    it(`refuses Node.js ${old}`, () => {
      const pretend = `Object.defineProperty(process, 'versions', { value: { node: '${old}' } })`;
      const { status, stderr } = setup('start', {}, pretend);
      expect(status).to.equal(1);
      expect(stderr).to.include('needs Node.js 20.19 or newer').and.include(old);
    });
  }

  describe('packages', () => {
    const STALE: Record<string, () => void> = {
      'node_modules is missing': () => {
        rmSync(at('node_modules'), { recursive: true });
      },
      'the lock has another version': () => {
        const a = { version: '1.0.1', integrity: 'sha512-b' };
        write('package-lock.json', { packages: { ...LOCK.packages, 'node_modules/a': a } });
      },
      'the lock has one more package': () => {
        write('package-lock.json', {
          packages: { ...LOCK.packages, 'node_modules/b': { version: '1.0.0', dev: true } },
        });
      },
      'the lock has one package fewer': () => {
        write('package-lock.json', { packages: { '': {} } });
      },
    };
    for (const [when, make] of Object.entries(STALE)) {
      it(`are installed with npm ci when ${when}`, () => {
        make();
        const { status, stdout } = setup();
        expect(status).to.equal(0);
        expect(stdout).to.include('npm ci');
        expect(calls()).to.deep.equal(['npm ci --include=dev --no-audit --no-fund']);
        expect(setup()).to.deep.equal(SILENT);
      });
    }

    it('that cannot be installed make it fail', () => {
      STALE['node_modules is missing']!();
      stub('npm', 'exit 1');
      const { status, stderr } = setup();
      expect(status).to.equal(1);
      expect(stderr).to.include('npm ci failed');
    });
  });

  describe('the build', () => {
    it('compiles, copies .lua and .conf files, and removes the output of deleted sources', () => {
      mkdirSync(at('src/queue'));
      write('src/queue/send.ts', 'export {};\n');
      write('src/queue/send.lua', 'return 1');
      write('src/queue/redis.conf', 'save ""');
      expect(setup().stdout).to.include('npm run build');
      for (const name of ['send.js', 'send.js.map', 'send.lua', 'redis.conf']) {
        expect(existsSync(at(`dist/queue/${name}`)), name).to.be.true;
      }
      expect(existsSync(at('dist/queue/send.ts'))).to.be.false;
      expect(setup()).to.deep.equal(SILENT);

      rmSync(at('src/queue/send.ts'));
      expect(setup().stdout).to.include('npm run build');
      expect(existsSync(at('dist/queue/send.js'))).to.be.false;
      expect(existsSync(at('dist/queue/send.lua'))).to.be.true;
    });

    it('that fails makes it fail, and is retried by the next run', () => {
      write('src/index.ts', 'export const one: number = "1";\n');
      for (const _attempt of [1, 2]) {
        const { status, stdout, stderr } = setup();
        expect(status).to.equal(1);
        expect(stdout).to.include('src/index.ts(1,14)');
        expect(stderr).to.include('The build failed');
      }
    });
  });

  describe('a missing server', () => {
    const APT = ['apt-get update', 'apt-get install -y --no-install-recommends redis-server'];
    const MANAGERS: [manager: string, made: string[], shown: string][] = [
      ['apt-get', APT, 'sh {root}/scripts/apt-redis.sh'],
      ['dnf', ['dnf install -y valkey'], "sh -c 'dnf install -y valkey || dnf install -y redis'"],
      ['apk', ['apk add redis'], 'apk add redis'],
      ['brew', ['brew install redis'], 'brew install redis'],
    ];
    beforeEach(() => {
      rmSync(at('bin/redis-server'));
    });

    for (const [manager, made, command] of MANAGERS) {
      const shown = () => command.replace('{root}', root);

      it(`is installed with ${manager} by root, after printing the command`, () => {
        stub(manager, install());
        const { status, stdout } = setup();
        expect(status).to.equal(0);
        expect(stdout).to.include(`with ${manager}: ${shown()}\n`);
        expect(calls()).to.deep.equal(made);
        expect(setup()).to.deep.equal(SILENT);
      });

      if (manager === 'brew') continue;
      it(`is not installed with ${manager} by an unprivileged user, who gets the command to run`, () => {
        stub(manager, install());
        stub('sudo', 'exit 1');
        const { status, stderr } = setup('start', {}, AS_PERSON);
        expect(status).to.equal(1);
        expect(stderr).to.match(/may not install it/);
        expect(stderr.split('\n').filter((line) => line.startsWith('  '))).to.deep.equal([`  sudo ${shown()}`]);
        expect(calls()).to.deep.equal(['sudo -n true']);
      });

      it(`is installed with ${manager} through sudo without a password`, () => {
        stub(manager, install());
        sudo();
        const { status, stdout } = setup('start', {}, AS_PERSON);
        expect(status).to.equal(0);
        expect(stdout).to.include(`with ${manager}: sudo -n ${shown()}\n`);
        expect(calls().filter((call) => !call.startsWith('sudo'))).to.deep.equal(made);
        expect(calls().filter((call) => call.startsWith('sudo'))).to.have.length(2);
      });
    }

    it('is not installed if there is no sudo', () => {
      stub('apk');
      expect(setup('start', {}, AS_PERSON)).to.include({ status: 1, stdout: '' });
      expect(calls()).to.deep.equal([]);
    });

    it('is installed with brew if the user may use that but not apt-get', () => {
      stub('apt-get');
      stub('brew', install());
      expect(setup('start', {}, AS_PERSON).status).to.equal(0);
      expect(calls()).to.deep.equal(['brew install redis']);
    });

    it('is installed as redis if dnf has no valkey', () => {
      stub('dnf', `[ "$3" = redis ] || exit 1; ${install()}`);
      expect(setup().status).to.equal(0);
      expect(calls()).to.deep.equal(['dnf install -y valkey', 'dnf install -y redis']);
    });

    it('does not become a system service of Debian', () => {
      stub('apt-get', `sh '${at('policy-rc.d')}'; echo "policy $?" >>'${at('calls')}'; ${install()}`);
      stub('systemctl');
      expect(setup().status).to.equal(0);
      expect(calls()).to.deep.equal([
        APT[0],
        'policy 101',
        APT[1],
        'policy 101',
        'systemctl --quiet disable redis-server',
      ]);
      expect(existsSync(at('policy-rc.d'))).to.be.false;
    });

    it("does not change the machine's service policy when it is installed", () => {
      write('policy-rc.d', 'mine');
      stub('apt-get', install());
      expect(setup().status).to.equal(0);
      expect(readFileSync(at('policy-rc.d'), 'utf8')).to.equal('mine');
    });

    it('that could not be installed makes it fail, with the command to try', () => {
      stub('apt-get', 'exit 100');
      const { status, stderr } = setup();
      expect(status).to.equal(1);
      expect(stderr).to.include(`\n  sh ${at('scripts/apt-redis.sh')}\n`);
      expect(existsSync(at('policy-rc.d'))).to.be.false;
    });

    it('makes it fail if no package manager is known', () => {
      const { status, stderr } = setup();
      expect(status).to.equal(1);
      expect(stderr).to.include('AIZUMI_REDIS_SERVER').and.include('AIZUMI_REDIS_URL');
    });

    it('is not needed to start with AIZUMI_REDIS_URL, but to test', () => {
      const env = { AIZUMI_REDIS_URL: 'redis://127.0.0.1:6379' };
      expect(setup('start', env)).to.deep.equal(SILENT);
      expect(setup('test', env).status).to.equal(1);
    });

    it('is not needed by key, which prints everything but the key on standard error', () => {
      expect(setup('key')).to.deep.equal(SILENT);
      stub('npm', 'echo installed; mkdir -p node_modules; cp package-lock.json node_modules/.package-lock.json');
      rmSync(at('node_modules/.package-lock.json'));
      const { status, stdout, stderr } = setup('key');
      expect([status, stdout]).to.deep.equal([0, '']);
      expect(stderr).to.include('npm ci').and.to.include('installed');
    });

    it('is found as valkey-server, and outside of the PATH', () => {
      stub('valkey-server', '', 'sbin');
      expect(setup()).to.deep.equal(SILENT);
    });

    it('is found by AIZUMI_REDIS_SERVER, as a path or a name', () => {
      stub('my-redis');
      expect(setup('start', { AIZUMI_REDIS_SERVER: at('bin/my-redis') })).to.deep.equal(SILENT);
      expect(setup('start', { AIZUMI_REDIS_SERVER: 'my-redis' })).to.deep.equal(SILENT);
      stub('apt-get', install());
      const { status, stderr } = setup('start', { AIZUMI_REDIS_SERVER: '/no/such/redis' });
      expect(status).to.equal(1);
      expect(stderr).to.include('AIZUMI_REDIS_SERVER names /no/such/redis');
      expect(calls()).to.deep.equal([]);
    });
  });
});
