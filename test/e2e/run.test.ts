// Running an image: streams, terminal, exit code, and what is left afterwards.
import { spawn } from 'node:child_process';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeCallers, makeBase, outputOf, type RunOptions, writeContext } from './harness.ts';

const base = makeBase();
const BUSYBOX = '/bin/busybox';

/** Starts the command in a terminal of 33 lines, does the steps `wait for this, type that`, and prints what was shown. */
const PTY = `
import fcntl, os, pty, struct, sys, termios
argv, steps = sys.argv[2:], [step.split('=>') for step in sys.argv[1].split('\\n')]
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 101, 0, 0))
    os.execvp(argv[0], argv)
shown, searched = b'', 0
while True:
    try:
        chunk = os.read(fd, 65536)
    except OSError:
        break
    if not chunk:
        break
    shown += chunk
    while steps and steps[0][0].encode() in shown[searched:]:
        text = steps.pop(0)
        searched = len(shown)
        if text[1] == 'RESIZE':
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 44, 120, 0, 0))
        else:
            os.write(fd, text[1].encode().decode('unicode_escape').encode())
sys.stdout.write(shown.decode(errors='replace').replace('\\r', ''))
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
`;

const DOCKERFILE = `FROM base
COPY busybox /bin/busybox
COPY passwd /etc/passwd
RUN mkdir -p /srv && busybox chown 70 /srv && busybox chmod 1777 /tmp
ENV COLOUR=blue
WORKDIR /srv
ENTRYPOINT ["/bin/busybox"]
CMD ["echo", "from the image"]
`;

describeCallers('tsbuild run', { needs: ['root', 'python3', BUSYBOX] }, (caller) => {
  let imageID = '';
  const run = (args: readonly string[], options?: RunOptions) => caller.tsbuild(['run', ...args], options);
  const inTerminal = (steps: readonly string[], args: readonly string[]) =>
    caller.run('python3', ['-c', PTY, steps.join('\n'), ...caller.command, 'run', ...args], { timeoutMs: 60_000 });

  beforeAll(() => {
    const context = writeContext(caller, {
      Dockerfile: DOCKERFILE,
      passwd: 'root:x:0:0::/root:/bin/sh\napp:x:70:70::/srv:/bin/sh\n',
    });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    const built = caller.tsbuild(['-q', '--build-context', `base=oci-layout://${base}`, '-t', 'app:1', context]);
    expect(outputOf(built)).toMatch(/^sha256:/);
    imageID = built.stdout.trim();
  });

  it("runs the image's command, or another, and passes the exit code on", () => {
    expect(run(['app:1']).stdout).toBe('from the image\n');
    const other = run(['--rm', 'app:1', 'sh', '-c', 'echo $COLOUR $PWD; echo wrong >&2; exit 7']);
    expect(other).toMatchObject({ status: 7, stdout: 'blue /srv\n', stderr: 'wrong\n' });
    expect(run(['app:1', 'sh', '-c', `sh -c 'kill -9 $$'; exit $?`]).status).toBe(137);
  });

  it('finds an image by its ID', () => {
    for (const name of [imageID, imageID.slice(7, 19)]) expect(run([name]).stdout).toBe('from the image\n');
  });

  it('fetches an image that is not here', () => {
    expect(run(['--entrypoint', 'sh', `oci-layout://${base}`, '-c', 'echo $0 fetched']).stdout).toBe('sh fetched\n');
  });

  it('throws away what was written', () => {
    expect(run(['app:1', 'sh', '-c', 'echo x > /kept; cat /kept']).stdout).toBe('x\n');
    expect(run(['app:1', 'cat', '/kept']).status).toBe(1);
    expect(caller.run('ls', [join(caller.home, 'store', 'tmp', 'sandbox', 'mount')]).stdout).toBe('');
  });

  it('takes user, directory, variables and entrypoint from the flags', () => {
    const flags = ['-u', 'app', '-w', '/tmp/new', '-e', 'A=1', '-e', 'HERE', '--entrypoint', 'sh', '--hostname', 'box'];
    const { stdout, stderr } = run(
      [...flags, 'app:1', '-c', 'id -u; pwd; echo $A $HERE $HOSTNAME; echo again >/dev/stdout'],
      {
        env: { HERE: 'there' },
      },
    );
    expect({ stdout, stderr }).toEqual({ stdout: '70\n/tmp/new\n1 there box\nagain\n', stderr: '' });
  });

  it('mounts directories, for reading only when asked to', () => {
    const dir = join(caller.home, 'shared');
    const script = 'echo in > /v/file; cat /v/file; echo out > /r/file 2>/dev/null || echo refused';
    const { stdout } = run(['-v', `${dir}:/v`, '-v', `${dir}:/r:ro`, 'app:1', 'sh', '-c', script]);
    expect(stdout).toBe('in\nrefused\n');
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('in\n');
  });

  it('protects the root file system, and has file systems in memory, limits and hosts of its own', () => {
    const flags = ['--read-only', '-w', '/made', '--tmpfs', '/mem:size=1m,mode=0711', '-v', `${caller.home}:/v:ro`];
    const inside = ['--shm-size', '2m', '--ulimit', 'nofile=77:99', '--add-host', 'there:10.1.2.3'];
    const script =
      'touch /x /made/x /v/x 2>/dev/null || echo protected; touch /mem/x; stat -c "%a %n" /mem; stat -f -c %b /mem /dev/shm; ulimit -n; ulimit -Hn; grep -c there /etc/hosts; pwd';
    const { stdout, stderr, status } = run([...flags, ...inside, 'app:1', 'sh', '-c', script]);
    expect({ stdout, stderr, status }).toEqual({
      stdout: 'protected\n711 /mem\n256\n512\n77\n99\n1\n/made\n',
      stderr: '',
      status: 0,
    });
  });

  it('passes standard input on with -i only', () => {
    const big = 'a'.repeat(3_000_000);
    expect(run(['-i', 'app:1', 'wc', '-c'], { input: big }).stdout.trim()).toBe('3000000');
    expect(run(['app:1', 'wc', '-c'], { input: 'text' }).stdout.trim()).toBe('0');
    expect(run(['-i', 'app:1', 'head', '-c', '3'], { input: big })).toMatchObject({ status: 0, stdout: 'aaa' });
  });

  it('gives the process a terminal of its own with the size of the window', () => {
    const script = 'trap "stty size" WINCH; tty; stty size; until read line; do :; done; echo "got $line"; cat; exit 4';
    const steps = ['33 101=>RESIZE', '44 120=>hello\\n', 'got hello=>\\x04'];
    const { stdout, status } = inTerminal(steps, ['-it', 'app:1', 'sh', '-c', script]);
    expect(stdout).toBe('/dev/pts/0\n33 101\n44 120\nhello\ngot hello\n');
    expect(status).toBe(4);
  });

  it('lets Ctrl-C reach the process in the terminal', () => {
    const script = 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 1; done';
    const { stdout, status } = inTerminal(['ready=>\\x03'], ['-it', 'app:1', 'sh', '-c', script]);
    expect(stdout).toBe('ready\n^Ccaught\n');
    expect(status).toBe(9);
  });

  it('has the directories of volumes and a list of mounts, whatever the image lacks', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nVOLUME /vol/deep /etc\n' });
    caller.tsbuild(['-q', '--build-context', `base=oci-layout://${base}`, '-t', 'volumes:1', context]);
    const script = 'echo kept > /vol/deep/f; cat /vol/deep/f; read -r _ path _ < /etc/mtab; echo "$path"';
    const result = run(['volumes:1', 'sh', '-c', script]);
    expect(result.stdout, outputOf(result)).toMatch(/^kept\n\/\n/);
  });

  it('refuses an image of another platform than the one asked for', () => {
    const [own, other] = process.arch === 'arm64' ? ['arm64', 'amd64'] : ['amd64', 'arm64'];
    for (const image of ['app:1', imageID, `oci-layout://${base}`]) {
      expect(run(['--platform', `linux/${other}`, image, 'true'])).toMatchObject({
        status: 125,
        stderr: expect.stringMatching(
          new RegExp(`error: the image \\S+ is for linux/${own}, not for linux/${other}\n`),
        ),
      });
    }
    expect(run(['--platform', `linux/${own}`, '--entrypoint', '', 'app:1', 'true']).status).toBe(0);
  });

  it('says what is wrong and ends with 125, 126 or 127', () => {
    expect(run(['app:1', 'nosuch']).status).toBe(127);
    const notFound = run(['--entrypoint', '/nosuch', 'app:1']);
    expect(notFound).toMatchObject({ status: 127, stderr: 'error: exec: "/nosuch": no such file or directory\n' });
    expect(run(['--entrypoint', '/etc/passwd', 'app:1'])).toMatchObject({
      status: 126,
      stderr: 'error: exec: "/etc/passwd": permission denied\n',
    });
    expect(run(['-u', 'nosuch', 'app:1'])).toMatchObject({
      status: 125,
      stderr: 'error: unable to find user nosuch: no matching entries in passwd file\n',
    });
    expect(run(['-it', 'app:1'])).toMatchObject({
      status: 125,
      stderr: 'error: the input device is not a terminal\nhint: leave out -t to read from a file or a pipe\n',
    });
  });

  it('refuses a name that another run has', async () => {
    const [program = '', ...args] = [
      ...caller.prefix,
      ...caller.command,
      'run',
      '-i',
      '--name',
      'one',
      'app:1',
      'sh',
      '-c',
    ];
    const env = { PATH: process.env['PATH'] ?? '', HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'store') };
    const child = spawn(program, [...args, 'echo up; cat'], {
      cwd: caller.home,
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    expect(run(['--name', 'one', 'app:1'])).toMatchObject({
      status: 125,
      stderr: 'error: the name "one" is in use by another tsbuild run\nhint: choose another --name, or end that one\n',
    });
    child.stdin?.end();
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0);
    expect(run(['--name', 'one', 'app:1']).status).toBe(0);
  });
});
