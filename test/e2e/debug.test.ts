// Entering a failed step after the build has ended, through a real terminal.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { chooseStepIds } from '../../src/sandbox/step-namespace.ts';
import { describeCallers, describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();

/** Opens a pty, starts the command in it, types each line when its prompt has come, and prints what the terminal showed. */
const PTY = `
import os, pty, select, sys, time
argv, lines = sys.argv[2:], sys.argv[1].split('\\n')
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
shown, sent, seen, deadline = b'', 0, 0, time.time() + 120
while time.time() < deadline:
    if sent < len(lines) and shown[seen:].rstrip(b'\\x1b[27m').endswith((b'$ ', b'# ')):
        seen = len(shown)
        os.write(fd, lines[sent].encode() + b'\\n')
        sent += 1
    ready, _, _ = select.select([fd], [], [], 0.3)
    if ready:
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
sys.stdout.write(shown.decode(errors='replace').replace('\\r', ''))
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
`;

describeCallers('tsbuild debug', { needs: ['root', 'python3'] }, (caller) => {
  beforeAll(() => {
    const context = writeContext(caller, {
      Dockerfile:
        'FROM base\nENV COLOUR=blue\nWORKDIR /work\nRUN echo good > state\nUSER nobody\nRUN echo left-by-failure > /tmp/evidence; exit 3\n',
    });
    const failed = caller.tsbuild([
      'build',
      '--progress=plain',
      '--build-context',
      `base=oci-layout://${base}`,
      context,
    ]);
    expect(failed.status, outputOf(failed)).toBe(1);
    expect(outputOf(failed)).toContain('tsbuild debug');
  });

  const session = (args: readonly string[], lines: readonly string[]) => {
    const argv = [
      ...caller.prefix,
      'env',
      `TSBUILD_ROOT=${caller.home}/store`,
      `HOME=${caller.home}`,
      'TERM=vt220',
      ...caller.command,
      'debug',
      ...args,
    ];
    return spawnSync('python3', ['-c', PTY, lines.join('\n'), ...argv], { encoding: 'utf8', timeout: 90_000 });
  };

  it('opens a shell in the failed state, with its user, directory, environment and files', () => {
    const { stdout, status } = session([], ['id -u', 'pwd', 'env', 'cat /tmp/evidence state', 'exit 5']);
    expect(stdout).toContain('\n65534\n');
    expect(stdout).toContain('\n/work\n');
    expect(stdout).toContain('COLOUR=blue');
    expect(stdout).toContain('TERM=vt220');
    expect(stdout).toContain('\nleft-by-failure\ngood\n');
    expect(status).toBe(5);
  });

  it('has the shell read what is piped in, and passes its exit code on', () => {
    const command = [...caller.command, 'debug'].join(' ');
    const { stdout, status } = caller.run('sh', ['-c', `echo 'pwd; cat state; exit 6' | ${command}`]);
    expect({ stdout, status }).toEqual({ stdout: '/work\ngood\n', status: 6 });
  });

  it('opens the last good layer with --before', () => {
    const { stdout } = session(['--before'], ['pwd', 'cat state', 'ls /tmp/evidence', 'exit']);
    expect(stdout).toContain('\n/work\n');
    expect(stdout).toContain('\ngood\n');
    expect(stdout).toMatch(/\/tmp\/evidence.*No such file/);
  });

  it('never changes the kept state', () => {
    session([], ['rm /tmp/evidence', 'exit']);
    expect(session([], ['cat /tmp/evidence', 'exit']).stdout).toContain('\nleft-by-failure\n');
  });

  it('runs one command without a terminal', () => {
    const result = caller.tsbuild(['debug', '-c', 'cat /tmp/evidence; exit 4']);
    expect(result.stdout).toBe('left-by-failure\n');
    expect(result.status).toBe(4);
  });
});

describeRoot('tsbuild debug of a build with its own confinement', {}, (caller) => {
  const { start } = chooseStepIds(readFileSync('/etc/subuid', 'utf8'), readFileSync('/etc/subgid', 'utf8')).uids;
  const LOOK = 'cat /proc/self/uid_map /proc/self/status; ls -ln /evidence';

  const fail = (...flags: readonly string[]): void => {
    const context = writeContext(caller, {
      Dockerfile: 'FROM base\nRUN echo left > /evidence; exit 3\n',
      'profile.json': '{"defaultAction":"SCMP_ACT_ALLOW"}',
    });
    const named = ['--progress=plain', '--build-context', `base=oci-layout://${base}`];
    const failed = caller.tsbuild(['build', ...named, ...flags, '.'], { cwd: context });
    expect(failed.status, outputOf(failed)).toBe(1);
  };

  it('enters a step built with --userns in a user namespace', () => {
    fail('--userns');
    for (const flags of [[], ['--before']]) {
      const { stdout, stderr } = caller.tsbuild(['debug', ...flags, '-c', LOOK]);
      expect(stdout, stderr).toMatch(new RegExp(`^ *0 +${start} +\\d+$`, 'm'));
      expect(stdout.includes(' 0 0 5 ')).toBe(flags.length === 0);
    }
  });

  it('enters a step with the same filter and the same right to gain rights', () => {
    fail('--security-opt', 'no-new-privileges', '--security-opt', 'seccomp=unconfined');
    const { stdout } = caller.tsbuild(['debug', '-c', LOOK]);
    expect(stdout).toMatch(/^ *0 +0 +\d+$/m);
    expect(stdout).toContain('\nNoNewPrivs:\t1\n');
    expect(stdout).toContain('\nSeccomp:\t0\n');
  });

  it('finds a profile that was given by a relative path', () => {
    fail('--security-opt', 'seccomp=profile.json');
    expect(caller.tsbuild(['debug', '-c', LOOK]).stdout).toContain('\nSeccomp:\t2\n');
  });
});
