// `tsbuild run -it` on a real terminal: what the process finds there, what is shown byte for byte, and what is left of it.
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { describeCallers } from './harness.ts';
import { processesNaming } from './processes-naming.ts';
import { BUSYBOX, buildApp, RUNTIMES } from './run-app.ts';

/**
 * Runs a command on a terminal of 33 lines and does the steps `wait for this=>do that`: RESIZE, TERM (a signal to tsbuild), or
 * type it. Shows every byte, escaped, then whether the terminal's settings are what they were.
 */
const PTY = `
import fcntl, os, pty, signal, struct, sys, termios
steps, command, argv = [step.split('=>') for step in sys.argv[1].split('\\n') if step], sys.argv[2], sys.argv[3:]
parent, child = pty.openpty()
fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 101, 0, 0))
before = termios.tcgetattr(child)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(child, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(child, fd)
    os.closerange(3, 100)
    os.execvp(argv[0], argv)
def tsbuild():
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            if os.getsid(int(name)) == pid and open('/proc/' + name + '/cmdline').read().replace('\\0', ' ').startswith(command):
                return int(name)
        except OSError:
            pass
shown, searched, ended = b'', 0, False
os.set_blocking(parent, False)
import select, time
until = time.time() + 60
while time.time() < until:
    if not ended and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        ended = True
    ready, _, _ = select.select([parent], [], [], 0.05)
    if ready:
        shown += os.read(parent, 65536)
    elif ended:
        break
    while steps and steps[0][0].encode() in shown[searched:]:
        _, action = steps.pop(0)
        searched = len(shown)
        if action == 'RESIZE':
            fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack('HHHH', 44, 120, 0, 0))
        elif action == 'TERM':
            target = tsbuild()
            os.kill(target, signal.SIGTERM)
        else:
            os.write(parent, action.encode().decode('unicode_escape').encode())
_, status = os.waitpid(pid, 0)
print(repr(shown)[2:-1])
print('restored' if termios.tcgetattr(child) == before else 'changed')
sys.exit(os.waitstatus_to_exitcode(status))
`;

/** Runs a command on a terminal, which is closed when \`up\` is shown; prints how it ended. With \`own\` it is the terminal's own session. */
const CLOSED = `
import fcntl, os, pty, sys, termios
how, argv = sys.argv[1], sys.argv[2:]
parent, child = pty.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    if how == 'own':
        fcntl.ioctl(child, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(child, fd)
    os.closerange(3, 100)
    os.execvp(argv[0], argv)
os.close(child)
shown = b''
while b'up' not in shown:
    shown += os.read(parent, 65536)
os.close(parent)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
`;

interface Shown {
  readonly text: string;
  readonly isRestored: boolean;
  readonly status: number | null;
}

describeCallers('the terminal of tsbuild run', { needs: ['root', 'python3', BUSYBOX] }, (caller) => {
  buildApp(caller);

  const onTerminal = (steps: readonly string[], args: readonly string[]): Shown => {
    const env = ['env', `TSBUILD_ROOT=${caller.home}/store`, `HOME=${caller.home}`];
    const argv = [...caller.prefix, ...env, ...caller.command, 'run', ...args];
    const python = ['-c', PTY, steps.join('\n'), caller.command.join(' '), ...argv];
    const { stdout, stderr, status } = spawnSync('python3', python, { encoding: 'utf8', timeout: 90_000 });
    expect(stderr).toBe('');
    const [text = '', state] = stdout.split('\n');
    return { text, isRestored: state === 'restored', status };
  };
  const sh = (script: string) => ['app:1', 'busybox', 'sh', '-c', script];

  it.each(RUNTIMES)('is one of the sandbox, and shows each byte once (runtime %j)', (runtime) => {
    const script =
      'busybox tty; busybox stty size; busybox ls -1 /dev/pts; [ -c /dev/console ] && [ -w /dev/console ] && echo yes';
    expect(onTerminal([], ['--oci-runtime', runtime, '-it', ...sh(script)])).toEqual({
      text: String.raw`/dev/pts/0\r\n33 101\r\n0\r\nptmx\r\nyes\r\n`,
      isRestored: true,
      status: 0,
    });
  });

  it('belongs to the user of the process', () => {
    const script = 'busybox stat -c "%u %g %a" /dev/pts/0 /dev/console; : <>/dev/console && echo open';
    const { text } = onTerminal([], ['-it', '-u', '70', ...sh(script)]);
    expect(text).toBe(String.raw`70 5 620\r\n70 5 620\r\nopen\r\n`);
  });

  it('passes every key on as it is', () => {
    const script = 'busybox stty raw -echo; echo up; busybox head -c 6 | busybox od -An -c; echo; exit 3';
    expect(onTerminal([String.raw`up=>\x03\r\x1a\n\x11\x00`], ['-it', ...sh(script)])).toEqual({
      text: String.raw`up\n 003  \\r 032  \\n 021  \\0\n\n`,
      isRestored: true,
      status: 3,
    });
  });

  it.each(RUNTIMES)('lets Ctrl-C reach the process, and tells of a new size (runtime %j)', (runtime) => {
    const script = `trap 'busybox stty size' WINCH; trap 'echo caught; exit 9' INT; echo up; while :; do busybox sleep 0.05; done`;
    const steps = ['up=>RESIZE', String.raw`44 120=>\x03`];
    expect(onTerminal(steps, ['--oci-runtime', runtime, '-it', ...sh(script)])).toEqual({
      text: String.raw`up\r\n44 120\r\n^Ccaught\r\n`,
      isRestored: true,
      status: 9,
    });
  });

  it('is shown as it is without -i, too', () => {
    expect(onTerminal([], ['-t', ...sh('echo one; exit 4')])).toEqual({
      text: String.raw`one\r\n`,
      isRestored: true,
      status: 4,
    });
  });

  it.each(RUNTIMES)('takes Ctrl-C when nothing else is typed (runtime %j)', (runtime) => {
    const script = `trap 'echo caught; exit 9' INT; echo up; while :; do busybox sleep 0.05; done`;
    const { text, status } = onTerminal([String.raw`up=>\x03`], ['--oci-runtime', runtime, '-t', ...sh(script)]);
    expect(text).toMatch(/caught\\r\\n$/);
    expect(status).toBe(9);
  });

  it.each(RUNTIMES)('is given back however the process ends (runtime %j)', (runtime) => {
    const flags = ['--oci-runtime', runtime, '-it'];
    const killed = onTerminal([], [...flags, ...sh(`busybox sh -c 'kill -9 $$'; exit $?`)]);
    expect(killed).toMatchObject({ isRestored: true, status: 137 });
    expect(onTerminal([], [...flags, 'app:1', '/nosuch'])).toMatchObject({ isRestored: true, status: 127 });
    const failed = onTerminal([], [...flags, '-w', '/bin/busybox', 'app:1', 'busybox', 'true']);
    expect(failed).toMatchObject({ isRestored: true, status: 125 });
    const script = `trap 'echo no' TERM; echo no; while :; do busybox sleep 0.05; done`;
    const forced = onTerminal(['no=>TERM', 'no=>TERM', 'no=>TERM'], [...flags, ...sh(script)]);
    expect(forced).toMatchObject({ isRestored: true, status: 137 });
    expect(forced.text).toMatch(/3 times SIGINT or SIGTERM: the process is ended by force\\r\\n$/);
  });

  const close = (how: 'own' | 'other', flags: readonly string[], script: string): string => {
    const env = ['env', `TSBUILD_ROOT=${caller.home}/store`, `HOME=${caller.home}`];
    const argv = [...caller.prefix, ...env, ...caller.command, 'run', ...flags, ...sh(script)];
    const { stdout, stderr } = spawnSync('python3', ['-c', CLOSED, how, ...argv], {
      encoding: 'utf8',
      timeout: 90_000,
    });
    expect(stderr).toBe('');
    return stdout.trim();
  };

  it.each(RUNTIMES)('ends the run when it is closed, whatever the process ignores (runtime %j)', async (runtime) => {
    const name = `closed-${process.pid}-${runtime}`;
    const script = `trap '' HUP; echo up; while :; do busybox sleep 0.05; done; : ${name}`;
    for (const [how, flag] of [['own', '-it'] as const, ['other', '-t'] as const]) {
      const status = close(how, ['--oci-runtime', runtime, flag], script);
      // Of an ordinary user it is the status of runuser, which is what the terminal belongs to.
      if (caller.name === 'root') expect(status).toBe('129');
    }
    await expect.poll(() => processesNaming(name), { timeout: 60_000 }).toEqual([]);
  });
});
