// Limits and OCI runtimes of a whole build.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { itNeeding, MEMORY_TREE } from '../needs.ts';
import { describeCallers, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
const BUSYBOX = '/bin/busybox';

describeCallers('limits', { needs: ['root', BUSYBOX] }, (caller) => {
  const build = (step: string, ...flags: readonly string[]) => {
    const context = writeContext(caller, { Dockerfile: `FROM base\nCOPY busybox /bin/busybox\nRUN ${step}\n` });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    const from = ['--build-context', `base=oci-layout://${base}`, '--progress=plain'];
    return caller.tsbuild(['build', ...from, ...flags, context]);
  };

  if (caller.name === 'root') {
    itNeeding([MEMORY_TREE], 'tell of a step that was killed for memory', () => {
      const result = build('busybox tail /dev/zero', '-m', '32m');
      expect(result.status).toBe(1);
      expect(outputOf(result)).toMatch(
        /hint: the kernel ended a process for lack of memory \(its limit is 32 MB, it used 3\d MB\): raise --memory, or have it use less/,
      );
      const survived = build('busybox tail /dev/zero; echo went on', '-m', '32m');
      // Now and then the kernel chooses the shell as well.
      if (survived.status === 0)
        expect(outputOf(survived)).toMatch(/WARN: the kernel ended a process for lack of memory/);
      expect(build('busybox true', '-m', '32m', '--pids-limit', '20', '-c', '512').status).toBe(0);
    });
  } else {
    itNeeding([MEMORY_TREE], 'name the controller that is missing', () => {
      const result = build('busybox true', '-m', '32m');
      expect(result.status).toBe(1);
      expect(outputOf(result)).toContain(
        'error: the cgroup controller memory cannot be used: this user may not write to ',
      );
      expect(outputOf(result)).toContain('hint: leave out the limit, or build as root');
    });
  }

  itNeeding(['runc'], 'build through runc with the same result', () => {
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

  it('refuse a runtime that is not there', () => {
    const result = build('busybox true', '--oci-runtime', 'nosuch', '--no-cache');
    expect(outputOf(result)).toContain('error: the OCI runtime "nosuch" is not on PATH');
  });
});
