// `tsbuild run` beside `docker run` of dockerd 20.10, with the same image and the same arguments: exit code and output.
import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Dockerd, hasDockerd } from '../conformance/dockerd.ts';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
const BUSYBOX = '/bin/busybox';
const needs = [{ name: 'dockerd 20.10', isHere: hasDockerd() }, 'root' as const, 'setpriv' as const, BUSYBOX];

const BARE = `FROM base
COPY busybox /bin/busybox
COPY passwd group /etc/
RUN mkdir -p /home/app /srv/x /tmp && busybox chown 70:71 /home/app && busybox chmod 1777 /tmp && busybox --install -s /bin
`;
const IMAGES: Readonly<Record<string, string>> = {
  'app:1': `${BARE}ENV COLOUR=blue EMPTY= PATH=/srv/x:/bin
USER app
WORKDIR /srv/x
ENTRYPOINT ["sh", "-c", "echo entry $0 $@; id; pwd"]
CMD ["one", "two words"]
`,
  'shell:1': `${BARE}USER 80:81\nENTRYPOINT echo entry $0 $HOME\nCMD ["ignored"]\n`,
  'plain:1': `${BARE}CMD echo command; env | sort\n`,
  'none:1': `${BARE}CMD []\n`,
};
const FILES = {
  passwd: 'root:x:0:0::/root:/bin/sh\napp:x:70:71::/home/app:/bin/sh\nother:x:80:80::/srv:/bin/sh\n',
  group: 'root:x:0:\napp:x:71:\nextra:x:90:app,other\nmore:x:91:app\n',
};

interface Case {
  readonly args: readonly string[];
  readonly input?: string;
}
const sh = (script: string, ...flags: string[]): Case => ({
  args: [...flags, '--entrypoint', 'sh', 'plain:1', '-c', script],
});
const tmpfs = (mount: string): string[] => ['--tmpfs', mount];
const WHO = 'id; echo $HOME; pwd';

const CASES: readonly Case[] = [
  // Entrypoint and command.
  ...[[], ['three'], ['a', 'b c']].map((command) => ({ args: ['app:1', ...command] })),
  { args: ['--entrypoint', 'echo', 'app:1'] },
  { args: ['--entrypoint', 'echo', 'app:1', 'x', '-y'] },
  { args: ['--entrypoint', '', 'app:1', 'echo', 'x'] },
  { args: ['--entrypoint', '', 'app:1'] },
  { args: ['shell:1'] },
  { args: ['shell:1', 'x'] },
  { args: ['plain:1'] },
  { args: ['plain:1', 'echo', '$HOME'] },
  { args: ['none:1'] },
  // User, groups and home.
  ...['app', '70', '70:90', 'app:extra', '99', '99:98', ':71', '0:71', 'root', 'other', 'nosuch', 'app:nosuch'].map(
    (user) => sh(WHO, '-u', user),
  ),
  // Working directory.
  ...['/srv/x', '/new/dir', '/home/app/../app', '/', '/etc/passwd', 'srv'].map((dir) =>
    sh('pwd; stat -c "%A %h %U:%G %n" .', '-w', dir),
  ),
  sh('stat -c "%A %h %U:%G %n" /new /new/dir; id -u', '-u', 'app', '-w', '/new/dir'),
  // Environment.
  sh('env | sort'),
  sh('env | sort', '-t'),
  sh('env | sort', '-e', 'A=1', '-e', 'HERE', '-e', 'GONE', '-e', 'B=', '-e', 'C=x=y z', '-e', 'A=2'),
  sh('env | sort', '-e', 'HOME=/h', '-e', 'PATH=/bin', '-e', 'HOSTNAME=other', '-u', 'app'),
  sh('env | sort', '-t', '-e', 'TERM=vt100'),
  { args: ['-e', 'COLOUR=red', '-e', 'EMPTY', '--entrypoint', 'env', 'app:1'] },
  // Exit codes.
  ...['exit 0', 'exit 7', 'exit 255', `sh -c 'kill -9 $$'`, `sh -c 'kill -TERM $$'; exit $?`].map((script) =>
    sh(script),
  ),
  ...['nosuch', '/nosuch', '/etc/passwd', '/tmp', './busybox', ''].map((command) => ({
    args: ['plain:1', command],
  })),
  { args: ['-w', '/bin', 'plain:1', './busybox', 'echo', 'here'] },
  // Volumes; @ is a directory of the test's own.
  sh('cat /v/file; echo more >> /v/file; cat /v/file; ls /v', '-v', '@:/v'),
  sh('cat /v/file; echo no >> /v/file; rm /v/file; ls /v', '-v', '@:/v:ro'),
  sh('cat /etc/one; echo no > /etc/one', '-v', '@/file:/etc/one:ro'),
  sh('ls /a /a/b; cat /a/b/file', '-v', '@/sub:/a', '-v', '@:/a/b'),
  sh('ls -A /v; echo x > /v/new; cat /v/new', '-v', '@/missing:/v'),
  sh('id -u; echo x > /v/denied; echo $?', '-u', 'app', '-v', '@:/v'),
  // What can be written to.
  sh(
    'for d in / /tmp /dev /dev/shm; do touch $d/x && echo $d; done; pwd; stat -c "%A %h %U:%G %n" .',
    '--read-only',
    '-w',
    '/made/dir',
  ),
  sh('touch /v/x /srv/x /etc/hosts; ls /v', '--read-only', '-v', '@:/v', '--tmpfs', '/srv'),
  sh(
    'stat -c "%A %h %U:%G %n" /srv /home/app /new/a; cp /bin/busybox /srv; /srv/busybox true',
    ...['/srv', '/home/app', '/new/a'].flatMap(tmpfs),
  ),
  sh(
    'stat -c "%A %h %U:%G %n" /a; stat -f -c %b /a; cp /bin/busybox /a; /a/busybox id -u',
    ...tmpfs('/a:size=4m,mode=0751,exec'),
  ),
  sh('stat -c "%A %h %U:%G %n" /a; touch /a/x', ...tmpfs('/a:ro,uid=70,gid=71')),
  sh('cat /v/a/x; ls /v/sub', '-v', '@:/v', ...tmpfs('/v/sub')),
  sh('true', '-v', '@:/v', ...tmpfs('/v')),
  sh('true', ...tmpfs('/a:nosuch')),
  // Limits and hosts.
  sh('stat -f -c "%b %S" /dev/shm', '--shm-size', '1m'),
  sh('stat -f -c "%b %S" /dev/shm', '--shm-size', '0'),
  sh('ulimit -n; ulimit -Hn; ulimit -c', '--ulimit', 'nofile=77:99', '--ulimit', 'core=0'),
  sh('true', '--ulimit', 'nofile=9:8'),
  sh('grep there /etc/hosts', '--add-host', 'there:10.1.2.3'),
  // Streams.
  { args: ['-i', '--entrypoint', 'cat', 'plain:1'], input: 'typed\n' },
  { args: ['--entrypoint', 'cat', 'plain:1'], input: 'typed\n' },
  sh('tty; [ -t 1 ] && echo terminal'),
  sh('tty; stty | head -1; ls -l /dev/console | cut -c1-10', '-t'),
  // Confinement.
  sh('grep -E "^(Cap(Eff|Prm|Bnd)|NoNewPrivs|Seccomp):" /proc/self/status; umask; hostname; cat /proc/1/comm'),
  sh('grep -E "^(Cap(Eff|Prm|Bnd)|NoNewPrivs):" /proc/self/status', '-u', 'app'),
];

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  /** For messages: the words differ. */
  readonly stderr: string;
}

/** One of the daemon's, or of a command that is not there. */
function isFailure({ status }: Ended): boolean {
  return status !== null && status >= 125 && status <= 127;
}

describeRoot('tsbuild run is as docker run', { needs, timeout: 120_000 }, (caller) => {
  let dockerd: Dockerd;

  beforeAll(async () => {
    dockerd = new Dockerd();
    const context = writeContext(caller, FILES);
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    for (const [name, dockerfile] of Object.entries(IMAGES)) {
      writeFileSync(join(context, 'Dockerfile'), dockerfile);
      const archive = join(caller.home, `${name}.tar`);
      const flags = ['-q', '--build-context', `base=oci-layout://${base}`, '-o', `type=docker,dest=${archive}`];
      expect(outputOf(caller.tsbuild([...flags, '-t', name, context]))).toMatch(/^sha256:/);
    }
    await dockerd.answers();
    for (const name of Object.keys(IMAGES)) {
      const loaded = await dockerd.docker('load', '-i', join(caller.home, `${name}.tar`));
      expect(loaded.status, loaded.text).toBe(0);
    }
  }, 300_000);
  afterAll(() => dockerd[Symbol.asyncDispose]());

  /** The exit code and standard output, and what is then in the test's directory. */
  const run = async (command: readonly string[], { args, input }: Case, place: string): Promise<Ended> => {
    mkdirSync(join(place, 'sub'), { recursive: true });
    writeFileSync(join(place, 'file'), 'text\n');
    const here = args.map((arg) => arg.replace(/^@/, place));
    const [program = '', ...rest] = [...command, ...here];
    const env = {
      PATH: process.env['PATH'] ?? '',
      HOME: caller.home,
      HERE: 'there',
      TSBUILD_ROOT: join(caller.home, 'store'),
    };
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'], env });
    let [stdout, stderr] = ['', ''];
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk));
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
    const files = readdirSync(place, { recursive: true, encoding: 'utf8' }).sort();
    return { status, stdout: `${stdout}${files.join(' ')}\n${readFileSync(join(place, 'file'), 'utf8')}`, stderr };
  };

  it.each(CASES.map((each, index) => [each.args.join(' '), each, index] as const))('%s', async (_, each, index) => {
    const flags = ['run', '--rm', '--network=host', '--hostname', 'box'];
    const docker = ['docker', '-H', `unix://${dockerd.place}/socket`, ...flags];
    const place = (whose: string): string => join(caller.home, `place-${whose}-${index}`);
    const [first, ours] = await Promise.all([
      run(docker, each, place('docker')),
      run([...caller.command, ...flags], each, place('tsbuild')),
    ]);
    // On a busy machine the daemon fails to start what it can start, or does not find what is there, one time in ten.
    let theirs = first;
    for (let tries = 1; tries < 12 && theirs.status !== ours.status && isFailure(theirs); tries += 1) {
      theirs = await run(docker, each, place(`docker-${tries}`));
    }
    const said = `docker says: ${theirs.stderr}\ntsbuild says: ${ours.stderr}`;
    expect({ ...ours, stderr: '' }, said).toEqual({ ...theirs, stderr: '' });
  });
});
