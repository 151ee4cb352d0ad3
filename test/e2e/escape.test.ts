// Attempts to get out of a RUN. Each would be seen from outside, or by its exit code, if it succeeded.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import {
  addTools,
  attempt,
  buildWith,
  BUSYBOX,
  busyboxLayer,
  Outside,
  tarOf,
  USERS,
  writeLayout,
} from './escape/rig.ts';
import { ATTEMPTS, EXPECTED, SCRIPTS } from './escape/attempts.ts';
import { type Caller, describeCallers, describeRoot, writeContext } from './harness.ts';

/** What a step might change of this machine. */
const HOST_FILES = [
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/hostname',
  '/proc/sys/kernel/domainname',
  '/proc/sys/vm/swappiness',
  '/etc/hosts',
  '/etc/resolv.conf',
];

/** One RUN makes all attempts as root, a second one as an ordinary user of the image. */
function dockerfile(pid: number, outside: Outside): string {
  const script = (name: string): string => `FILE=/out/${name}; P=${outside.dir}; TESTPID=${pid}`;
  const calls = 'for p in /p/*; do /init 3<>$p; echo $? >/out/call-$(basename $p); done';
  const lines = Object.entries(SCRIPTS).map(([name, text]) => `${script(name)}\n( ${text} ) >$FILE 2>&1 </dev/null`);
  return `FROM base AS tools
COPY busybox /bin/busybox
COPY init /init
COPY p /p
RUN mkdir -m 777 /out /out/app && chmod 777 /p /p/*
FROM tools
RUN ${calls}
RUN <<"EOF"
exec 2>&1
${lines.join('\n')}
true
EOF
USER app
RUN ${calls.replaceAll('/out/', '/out/app/')}
`;
}

function attempts(caller: Caller, flags: readonly string[]): void {
  const isOwner = caller.name === 'root';
  let outside: Outside;
  let out = '';
  let hostBefore = '';
  const host = (): string =>
    HOST_FILES.map((path) => `${path}: ${existsSync(path) ? readFileSync(path, 'utf8') : ''}`).join('');
  beforeAll(() => {
    outside = new Outside(caller);
    hostBefore = host();
    const context = writeContext(caller, { Dockerfile: dockerfile(process.pid, outside) });
    addTools(context);
    mkdirSync(join(context, 'p'));
    for (const { name, calls, errno } of ATTEMPTS) writeFileSync(join(context, 'p', name), attempt(calls, errno));
    const base = writeLayout(caller, [busyboxLayer(), tarOf(USERS)]);
    out = join(caller.home, 'result');
    const env = { HOST_SECRET: outside.secret };
    const { status, text } = buildWith(caller, context, { base }, { env, flags: [...flags, '-o', out] });
    expect(status, text).toBe(0);
  });
  it.each(ATTEMPTS.map(({ number, name }) => ({ number, name })))('$number $name is refused', ({ name }) => {
    expect(readFileSync(join(out, 'out', `call-${name}`), 'utf8')).toBe('0\n');
    expect(readFileSync(join(out, 'out/app', `call-${name}`), 'utf8')).toBe('0\n');
  });

  it.each(EXPECTED.filter(({ rootOnly }) => isOwner || rootOnly !== true))(
    '$number $title',
    ({ name, shows, never }) => {
      const text = readFileSync(join(out, 'out', name), 'utf8');
      expect(text).not.toContain(outside.secret);
      if (shows !== undefined) expect(text).toMatch(shows);
      if (never !== undefined) expect(text).not.toMatch(never);
    },
  );

  it('65 nothing outside has changed', () => {
    expect(outside.changes()).toEqual([]);
    expect(host()).toBe(hostBefore);
  });

  it('66 a process in the background does not outlive its step', () => {
    const commands = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => {
        const path = `/proc/${pid}/cmdline`;
        try {
          return readFileSync(path, 'utf8');
        } catch {
          return '';
        }
      });
    expect(commands.filter((command) => command.includes('7654321'))).toEqual([]);
  });

  it('67 a setuid file that was made is in no directory that others may enter', () => {
    const store = join(caller.home, 'store');
    const found = spawnSync('find', [store, '-name', 'made-setuid', '-perm', '-4000'], {
      encoding: 'utf8',
    }).stdout.trim();
    expect(found).not.toBe('');
    for (const path of found.split('\n')) {
      const above = path
        .slice(store.length + 1)
        .split('/')
        .map((_, index, names) => join(store, ...names.slice(0, index)));
      expect(above.some((directory) => (statSync(directory).mode & 0o011) === 0)).toBe(true);
    }
  });
}

const needs = ['root', BUSYBOX];
describeCallers('a RUN', { needs }, (caller) => attempts(caller, []));
describeRoot('a RUN through runc', { needs: [...needs, 'runc'] }, (caller) =>
  attempts(caller, ['--oci-runtime', 'runc']),
);
describeRoot('a RUN with --userns', { needs }, (caller) => attempts(caller, ['--userns']));
