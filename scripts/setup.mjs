// Before `npm start`, `npm test` and `npm run key`: puts in place what is missing, says what it does, is silent when nothing is.
// usage: node scripts/setup.mjs [start|test|key]
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fingerprint, root, stamp } from './fingerprint.mjs';

const SERVERS = ['redis-server', 'valkey-server'];
/** Where servers and package managers are besides the PATH. */
const ELSEWHERE = ['/usr/sbin', '/usr/local/bin', '/usr/local/sbin', '/sbin', '/opt/homebrew/bin'];

/** By order of preference: package manager, the command that installs a server. Only brew wants no root. */
const INSTALLERS = [
  ['apt-get', ['sh', join(root, 'scripts', 'apt-redis.sh')]],
  ['dnf', ['sh', '-c', 'dnf install -y valkey || dnf install -y redis']],
  ['apk', ['apk', 'add', 'redis']],
  ['brew', ['brew', 'install', 'redis']],
];

const { env } = process;
const purpose = process.argv[2] ?? 'start';
/** The standard output of `npm run key` is the key alone. */
const words = purpose === 'key' ? 2 : 1;
const places = [...(env.PATH ?? '').split(delimiter).filter(Boolean), ...ELSEWHERE];
const surroundings = { cwd: root, env: { ...env, PATH: places.join(delimiter) } };

checkNode();
installPackages();
build();
if (purpose === 'test' || (purpose === 'start' && !env.AIZUMI_REDIS_URL)) findServer();

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`aizumi needs Node.js 20.19 or newer; this is ${process.versions.node} (${process.execPath}).`);
}

function installPackages() {
  if (packagesAreCurrent()) return;
  say('node_modules is missing or not made from this package-lock.json: npm ci');
  // --include=dev: the compiler is needed to start, whatever NODE_ENV says
  if (run(['npm', 'ci', '--include=dev', '--no-audit', '--no-fund'])) return;
  fail('npm ci failed; its messages are above. Is the npm registry within reach?');
}

/** npm's own record of what it installed against the lock: right too when the person ran npm themselves. */
function packagesAreCurrent() {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const [have, want] = [record, join(root, 'package-lock.json')].map((path) => JSON.parse(readFileSync(path)).packages);
  const same = (path) => have[path].version === want[path]?.version && have[path].integrity === want[path]?.integrity;
  // optional packages are for one platform each; '' is this project itself
  const needed = Object.keys(want).filter((path) => path !== '' && !want[path].optional && !want[path].devOptional);
  return needed.every((path) => have[path]) && Object.keys(have).every(same);
}

function build() {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === fingerprint()) return;
  say('dist is missing or older than its sources: npm run build');
  if (run([process.execPath, join(root, 'scripts', 'build.mjs')])) return;
  fail('The build failed; the compiler says why above.');
}

function findServer() {
  const named = env.AIZUMI_REDIS_SERVER;
  if (named) {
    if (named.includes('/') ? isProgram(named) : find(named)) return;
    fail(`AIZUMI_REDIS_SERVER names ${named}, which is not a program that can be run here.`);
  }
  if (SERVERS.some(find)) return;

  const installers = INSTALLERS.filter(([manager]) => find(manager));
  for (const [manager, command] of installers) {
    const allowed = permitted(manager, command);
    if (!allowed) continue;
    say(`No redis-server or valkey-server here. Installing one with ${manager}: ${shown(allowed)}`);
    if (run(allowed) && SERVERS.some(find)) return;
    fail(`That did not install a server. To see why, run:\n\n  ${forPerson(manager, command)}\n`);
  }
  if (installers.length > 0) {
    const [manager, command] = installers[0];
    fail(
      `aizumi needs a redis-server or valkey-server and may not install it. Run:\n\n  ${forPerson(manager, command)}\n`,
    );
  }
  fail(
    'aizumi needs redis-server or valkey-server (7.0 or newer) and knows no package manager here. Install one,\n' +
      'or name one in AIZUMI_REDIS_SERVER' +
      (purpose === 'test' ? '.' : ', or the address of a running one in AIZUMI_REDIS_URL.'),
  );
}

/** The command as this process may run it without asking anyone, or undefined. */
function permitted(manager, command) {
  if (manager === 'brew' || process.getuid?.() === 0) return command;
  if (!find('sudo')) return undefined;
  const asked = spawnSync('sudo', ['-n', 'true'], { ...surroundings, stdio: 'ignore' });
  return asked.status === 0 ? ['sudo', '-n', ...command] : undefined;
}

function forPerson(manager, command) {
  return shown(manager === 'brew' || process.getuid?.() === 0 ? command : ['sudo', ...command]);
}

function shown(command) {
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(' ');
}

function find(name) {
  return places.some((place) => isProgram(join(place, name)));
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function run([program, ...args]) {
  const { status, error } = spawnSync(program, args, { ...surroundings, stdio: ['inherit', words, 2] });
  if (error) console.error(error.message);
  return status === 0;
}

function say(text) {
  (words === 1 ? console.log : console.error)(`setup: ${text}`);
}

function fail(text) {
  console.error(`setup: ${text}`);
  process.exit(1);
}
