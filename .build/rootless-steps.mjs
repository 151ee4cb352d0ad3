// What do steps cost without root? Times 30 trivial RUNs, `--no-cache`, as root and as each of the named users, in turns, and
// prints the medians and their ratio to root's. A user with a line in /etc/subuid has ranges of ids, one without has a single id.
//   npm run build && node .build/rootless-steps.mjs ROUNDS USER...
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const project = join(import.meta.dirname, '..');
const [rounds = '7', ...users] = process.argv.slice(2);
const place = mkdtempSync(join(tmpdir(), 'tsbuild-rootless-steps-'));
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

try {
  chmodSync(place, 0o755);
  for (const name of ['dist', 'package.json', 'node_modules/koffi', 'node_modules/@koromix']) {
    cpSync(join(project, name), join(place, name), { recursive: true, dereference: true });
  }
  cpSync(process.execPath, join(place, 'node'));
  execFileSync(process.execPath, [join(project, '.build/make-base.mjs'), join(place, 'base')]);
  const steps = Array.from({ length: 30 }, (_, step) => `RUN true ${step}\n`);
  mkdirSync(join(place, 'context'));
  writeFileSync(join(place, 'context/Dockerfile'), `FROM base\n${steps.join('')}`);
  const times = new Map(['root', ...users].map((user) => [user, []]));
  for (const user of times.keys()) build(user);
  for (let round = 0; round < Number(rounds); round++) {
    for (const [user, own] of times) {
      const start = performance.now();
      build(user);
      own.push(performance.now() - start);
    }
  }
  const root = median(times.get('root'));
  for (const [user, own] of times) {
    console.log(`${user}: ${median(own).toFixed(0)} ms, ${(median(own) / root).toFixed(2)} of root's`);
  }
} finally {
  rmSync(place, { recursive: true, force: true });
}

function build(user) {
  const home = join(place, `home-${user}`);
  mkdirSync(home, { recursive: true });
  if (user !== 'root') execFileSync('chown', [user, home]);
  const asUser = user === 'root' ? [] : ['runuser', '-u', user, '--', 'env', `HOME=${home}`]; // It sets another one.
  const base = `base=oci-layout://${join(place, 'base')}`;
  const command = [join(place, 'node'), join(place, 'dist/tsbuild.js'), 'build', '-q', '--no-cache', '--network=host'];
  const [program, ...args] = [...asUser, ...command, '--build-context', base, '-t', 'steps', join(place, 'context')];
  execFileSync(program, args, {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, TSBUILD_ROOT: join(home, 'store') },
    stdio: 'pipe',
  });
}
