// Limits and OCI runtimes of a whole build.
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Caller,
  hasPrograms,
  installCommand,
  isRoot,
  makeBase,
  outputOf,
  rootCaller,
  userCaller,
  writeContext,
} from './harness.ts';

const install = installCommand();
const base = makeBase(install);
const BUSYBOX = '/bin/busybox';
const hasMemoryTree = /(^|,)memory[,:]/m.test(readFileSync('/proc/self/cgroup', 'utf8').replaceAll(/^\d+:/gm, ''));

describe.each([
  { kind: 'root', make: rootCaller, runs: isRoot && existsSync(BUSYBOX), isRoot: true },
  {
    kind: 'an ordinary user',
    make: userCaller,
    runs: isRoot && existsSync(BUSYBOX) && hasPrograms('newuidmap'),
    isRoot: false,
  },
])('limits as $kind', ({ make, runs, isRoot: isOwner }) => {
  let caller: Caller;
  beforeAll(() => {
    if (runs) caller = make(install);
  });
  afterAll(() => caller?.dispose());
  const build = (step: string, ...flags: readonly string[]) => {
    const context = writeContext(caller, { Dockerfile: `FROM base\nCOPY busybox /bin/busybox\nRUN ${step}\n` });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    const from = ['--build-context', `base=oci-layout://${base}`, '--progress=plain'];
    return caller.tsbuild(['build', ...from, ...flags, context]);
  };

  it.runIf(runs && isOwner && hasMemoryTree)('tell of a step that was killed for memory', () => {
    const result = build('busybox tail /dev/zero', '-m', '32m');
    expect(result.status).toBe(1);
    expect(outputOf(result)).toMatch(
      /hint: the kernel ended a process of it for lack of memory \(its limit is 32 MB, it used 3\d MB\): raise --memory, or have it use less/,
    );
    expect(build('busybox true', '-m', '32m', '--pids-limit', '20', '-c', '512').status).toBe(0);
  });

  it.runIf(runs && !isOwner && hasMemoryTree)('name the controller that is missing', () => {
    const result = build('busybox true', '-m', '32m');
    expect(result.status).toBe(1);
    expect(outputOf(result)).toContain(
      'error: the cgroup controller memory cannot be used: this user may not write to ',
    );
    expect(outputOf(result)).toContain('hint: leave out the limit, or build as root');
  });

  it.runIf(runs && hasPrograms('runc'))('build through runc with the same result', () => {
    const step = 'busybox id -u > /who && busybox mkdir /made && echo built by $0';
    const results = [[], ['--oci-runtime', 'runc']].map((flags) => {
      const out = join(caller.home, `out-${flags.length}`);
      const { status } = build(
        step,
        '--no-cache',
        '-o',
        `type=tar,dest=${out}`,
        '--build-arg',
        'SOURCE_DATE_EPOCH=1',
        ...flags,
      );
      const list = caller.run('tar', ['-tvf', out, '--full-time']).stdout;
      return { status, files: list.split('\n').map((line) => line.replace(/ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d /, ' ')) };
    });
    expect(results[0]?.status).toBe(0);
    expect(results[1]).toEqual(results[0]);
  });

  it.runIf(runs)('refuse a runtime that is not there', () => {
    const result = build('busybox true', '--oci-runtime', 'nosuch', '--no-cache');
    expect(outputOf(result)).toContain('error: the OCI runtime "nosuch" is not on PATH');
  });
});
