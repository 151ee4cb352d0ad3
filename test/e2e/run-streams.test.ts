// The standard streams of `tsbuild run`: pipes, files, slow readers and readers that go.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { describeCallers } from './harness.ts';
import { BUSYBOX, buildApp, RUNTIMES } from './run-app.ts';

const MANY = 30_000_000;

describeCallers('the streams of tsbuild run', { needs: ['root', 'bash', BUSYBOX] }, (caller) => {
  buildApp(caller);

  describe.each(RUNTIMES)('through the runtime %j', (runtime) => {
    /** A line of bash in which `run` is the command. */
    const inShell = (line: string, env?: Record<string, string>) => {
      const run = `run() { ${caller.command.join(' ')} run --oci-runtime '${runtime}' "$@"; }`;
      const { status, stdout, stderr } = caller.run('bash', ['-c', `${run}; ${line}`], { env: env ?? {} });
      return { status, stdout, stderr };
    };

    it('passes on what is piped in, with -i alone', () => {
      const said = (stdout: string) => ({ status: 0, stdout, stderr: '' });
      expect(inShell('echo hi | run -i app:1 busybox cat')).toEqual(said('hi\n'));
      expect(inShell('echo hi | run app:1 busybox cat')).toEqual(said(''));
      expect(inShell('run -i app:1 busybox cat <&-')).toEqual(said(''));
      expect(inShell('run app:1 busybox cat <&-')).toEqual(said(''));
      expect(inShell('run -i app:1 busybox cat < /etc/hosts')).toEqual(inShell('cat /etc/hosts'));
      expect(inShell(`head -c ${MANY} /dev/zero | run -i app:1 busybox wc -c`)).toEqual(said(`${MANY}\n`));
    });

    it('ends with the process, not with what could still be read', () => {
      expect(inShell('exec 3< <(exec sleep 1000); run -i app:1 busybox true <&3; echo $?; kill $!').stdout).toBe('0\n');
    });

    it('waits for a slow reader, without losing or keeping a byte', () => {
      const sum = createHash('md5').update(Buffer.alloc(MANY)).digest('hex');
      const line = `run app:1 busybox head -c ${MANY} /dev/zero | (read -t 1 < <(exec sleep 2); md5sum); echo \${PIPESTATUS[0]}`;
      expect(inShell(line)).toEqual({ status: 0, stdout: `${sum}  -\n0\n`, stderr: '' });
    });

    it('lets the process notice that its reader has gone', () => {
      const codes = `echo \${PIPESTATUS[0]}`;
      const first = inShell(`run app:1 busybox yes | head -1; ${codes}`);
      expect(first).toEqual({ status: 0, stdout: 'y\n1\n', stderr: 'yes: (null): Broken pipe\n' });
      // One that has nothing more to say does not notice, and goes on.
      const script = 'echo a; while read line; do :; done; exit 5';
      expect(inShell(`echo | run -i app:1 busybox sh -c '${script}' | head -1; echo \${PIPESTATUS[1]}`).stdout).toBe(
        'a\n5\n',
      );
      const both = inShell(`run app:1 busybox sh -c 'echo out; echo err >&2; exit 6' >&- 2>&-; echo $?`);
      expect(both.stdout).toBe('6\n');
    });

    it('says that what was written cannot be kept', () => {
      expect(inShell('run app:1 busybox echo hi > /dev/full')).toEqual({
        status: 125,
        stdout: '',
        stderr: 'error: cannot write to standard output: ENOSPC: no space left on device, write\n',
      });
    });
  });
});
