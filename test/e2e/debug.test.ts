// Entering a failed step after the build has ended, through a real terminal.
import { spawnSync } from 'node:child_process';
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

describe.each([
  { kind: 'root', make: rootCaller, runs: isRoot && hasPrograms('python3') },
  { kind: 'an ordinary user', make: userCaller, runs: isRoot && hasPrograms('python3', 'newuidmap', 'runuser') },
])('tsbuild debug as $kind', ({ make, runs }) => {
  let caller: Caller;
  beforeAll(() => {
    if (!runs) return;
    caller = make(install);
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
  afterAll(() => caller?.dispose());

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

  it.skipIf(!runs)(
    'opens a shell in the failed state, with its user, directory, environment and files [skipped: needs root and python3]',
    () => {
      const { stdout, status } = session([], ['id -u', 'pwd', 'env', 'cat /tmp/evidence state', 'exit 5']);
      expect(stdout).toContain('\n65534\n');
      expect(stdout).toContain('\n/work\n');
      expect(stdout).toContain('COLOUR=blue');
      expect(stdout).toContain('TERM=vt220');
      expect(stdout).toContain('\nleft-by-failure\ngood\n');
      expect(status).toBe(5);
    },
  );

  it.skipIf(!runs)('opens the last good layer with --before [skipped: needs root and python3]', () => {
    const { stdout } = session(['--before'], ['pwd', 'cat state', 'ls /tmp/evidence', 'exit']);
    expect(stdout).toContain('\n/work\n');
    expect(stdout).toContain('\ngood\n');
    expect(stdout).toMatch(/\/tmp\/evidence.*No such file/);
  });

  it.skipIf(!runs)('never changes the kept state [skipped: needs root and python3]', () => {
    session([], ['rm /tmp/evidence', 'exit']);
    expect(session([], ['cat /tmp/evidence', 'exit']).stdout).toContain('\nleft-by-failure\n');
  });

  it.skipIf(!runs)('runs one command without a terminal [skipped: needs root and python3]', () => {
    const result = caller.tsbuild(['debug', '-c', 'cat /tmp/evidence; exit 4']);
    expect(result.stdout).toBe('left-by-failure\n');
    expect(result.status).toBe(4);
  });
});
