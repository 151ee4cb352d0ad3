// What every Executor must do, whatever it is made of: what a process finds inside. One call per implementation.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExitStatus, RunSpec } from '../../src/sandbox/executor.ts';
import { findNetworkHelpers } from '../../src/sandbox/network-helper.ts';
import { SandboxFixture, type SandboxRunner, type SpecOptions } from './sandbox-runner.ts';

export interface SuiteOptions {
  readonly skip: string | undefined;
  /** Owner of the files on the host, as chown takes it. */
  readonly owner: () => string;
  readonly makeRunner: (stateDir: string) => SandboxRunner;
  readonly isRootless: boolean;
  /** Which devices open is decided by a cgroup, not by the mounts. */
  readonly hasDeviceCgroup?: boolean;
  /** The error about a mount inside a read-only one, where it is not the embedded executor's. */
  readonly readonlyTarget?: { readonly code: string; readonly message: RegExp };
}

export class SuiteContext {
  #fixture: SandboxFixture | undefined;
  #runner: SandboxRunner | undefined;

  constructor(options: SuiteOptions) {
    beforeAll(() => {
      this.#fixture = new SandboxFixture(options.owner());
      this.#runner = options.makeRunner(`${this.#fixture.dir}/state`);
    });
    afterAll(async () => {
      await this.#runner?.close();
      this.#fixture?.remove();
    });
  }

  get fixture(): SandboxFixture {
    if (this.#fixture === undefined) throw new Error('too early');
    return this.#fixture;
  }

  get runner(): SandboxRunner {
    if (this.#runner === undefined) throw new Error('too early');
    return this.#runner;
  }

  /** Output of a script that must succeed. */
  async output(script: string, options: SpecOptions = {}): Promise<string> {
    const { status, stdout, stderr, error } = await this.runner.run(this.fixture.spec(script, options));
    expect({ status, error, stderr: stderr.toString() }).toEqual({
      status: { code: 0, signal: undefined },
      error: undefined,
      stderr: '',
    });
    return stdout.toString();
  }

  async status(spec: RunSpec): Promise<ExitStatus | undefined> {
    return (await this.runner.run(spec)).status;
  }
}

export function executorSuite(name: string, options: SuiteOptions): void {
  describe.skipIf(options.skip !== undefined)(`${name}${options.skip ? ` [skipped: ${options.skip}]` : ''}`, () => {
    const context = new SuiteContext(options);
    identity(context);
    surroundings(context, options);
    users(context);
    ends(context);
    network(context);
  });
}

function identity(context: SuiteContext): void {
  it("gives root Docker's capabilities, a filter and no more", async () => {
    const status = await context.output("grep -E '^(Cap|NoNew|Secc|Groups|Uid|Gid|Umask)' /proc/self/status");
    expect(status.replaceAll('\t', ' ')).toBe(
      [
        'Umask: 0022',
        'Uid: 0 0 0 0',
        'Gid: 0 0 0 0',
        'Groups: 0 ',
        'CapInh: 0000000000000000',
        'CapPrm: 00000000a80425fb',
        'CapEff: 00000000a80425fb',
        'CapBnd: 00000000a80425fb',
        'CapAmb: 0000000000000000',
        'NoNewPrivs: 0',
        'Seccomp: 2',
        'Seccomp_filters: 1',
        '',
      ].join('\n'),
    );
  });

  it('passes the environment and adds HOME only when it is absent', async () => {
    expect(await context.output('env | grep -v -E "^(PWD|SHLVL)=" | sort')).toBe('A=1\nHOME=/root\nPATH=/bin\n');
    expect(await context.output('echo $HOME', { env: ['PATH=/bin', 'HOME=/x'] })).toBe('/x\n');
  });

  it('is process 1 of its own and sees no other', async () => {
    expect(await context.output('echo $$; ls /proc | grep -c "^[0-9]"')).toMatch(/^1\n[234]\n$/);
  });

  it('has its hostname, hosts and no descriptors but three pipes', async () => {
    expect(await context.output('hostname; cat /etc/hosts')).toBe(
      'buildkitsandbox\n127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n',
    );
    const fds = await context.output('ls /proc/$$/fd; for n in 0 1 2; do readlink /proc/$$/fd/$n; done');
    expect(fds.replaceAll(/\[\d+\]/g, '')).toBe('0\n1\n2\npipe:\npipe:\npipe:\n');
  });

  it('has nothing to read, and pipes that open again', async () => {
    expect(await context.output('cat; echo a >/dev/stdout; echo b >>/proc/self/fd/1')).toBe('a\nb\n');
  });

  it('is refused what the filter forbids', async () => {
    const { status, stderr } = await context.runner.run(context.fixture.spec('unshare -m true'));
    expect(status?.code).toBe(1);
    expect(stderr.toString()).toContain('Operation not permitted');
    expect(await context.output('mount -t tmpfs x /tmp 2>&1 || echo refused')).toContain('refused');
  });
}

/** BuildKit's but for nodev on the root, in the place of a device cgroup. */
const MOUNTS_AS_ROOT = `/ overlay rw,nodev,relatime
/etc/resolv.conf tmpfs ro,nosuid,nodev,noexec,relatime
/etc/hosts tmpfs ro,nosuid,nodev,noexec,relatime
/dev/pts devpts rw,nosuid,noexec,relatime
/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime
/dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime
/sys sysfs ro,nosuid,nodev,noexec,relatime
/proc proc rw,nosuid,nodev,noexec,relatime
/proc/sys proc ro,nosuid,nodev,noexec,relatime
/proc/keys tmpfs rw,nosuid
/sys/firmware tmpfs ro,relatime`.split('\n');

function surroundings(context: SuiteContext, options: SuiteOptions): void {
  it.skipIf(options.isRootless)('has the mounts of a BuildKit step', async () => {
    const mountinfo = await context.output('cat /proc/self/mountinfo');
    const mounts = mountinfo
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map((words) => `${words[4]} ${words[words.indexOf('-') + 1]} ${words[5]}`);
    const dev = `/dev tmpfs rw,nosuid${options.hasDeviceCgroup === true ? '' : ',nodev'}`;
    expect(mounts).toEqual(expect.arrayContaining([...MOUNTS_AS_ROOT, dev]));
    expect(mountinfo).not.toContain(context.fixture.dir);
  });

  it('has the devices and links of a BuildKit step', async () => {
    const dev = await context.output('cd /dev; for f in *; do echo $f $(stat -c "%A %t,%T" $f) $(readlink $f); done');
    expect(dev.trim().split('\n')).toEqual([
      'fd lrwxrwxrwx 0,0 /proc/self/fd',
      'full crw-rw-rw- 1,7',
      'mqueue drwxrwxrwt 0,0',
      'null crw-rw-rw- 1,3',
      'ptmx lrwxrwxrwx 0,0 pts/ptmx',
      'pts drwxr-xr-x 0,0',
      'random crw-rw-rw- 1,8',
      'shm drwxrwxrwt 0,0',
      'stderr lrwxrwxrwx 0,0 /proc/self/fd/2',
      'stdin lrwxrwxrwx 0,0 /proc/self/fd/0',
      'stdout lrwxrwxrwx 0,0 /proc/self/fd/1',
      'tty crw-rw-rw- 5,0',
      'urandom crw-rw-rw- 1,9',
      'zero crw-rw-rw- 1,5',
    ]);
    expect(await context.output('echo x >/dev/null; head -c 2 /dev/zero | wc -c; stat -f -c %s /dev')).toBe(
      '2\n4096\n',
    );
  });

  it('hides and protects what tells about and changes the machine', async () => {
    expect(await context.output('cat /proc/keys /proc/timer_list; ls /sys/firmware; ls /proc/acpi 2>/dev/null')).toBe(
      '',
    );
    expect(await context.output('(echo x >/proc/sys/kernel/hostname) 2>&1 || echo no')).toContain('Read-only');
    expect(await context.output('(echo b >/proc/sysrq-trigger) 2>&1 || echo no')).toMatch(
      /Read-only|nonexistent|denied/,
    );
    expect(await context.output('(mkdir /sys/fs/cgroup/cpu/x) 2>&1 || echo no')).toContain('no');
  });

  it('has shared memory of the size asked for', async () => {
    const kilobytes = "df -k /dev/shm | tail -1 | awk '{print $2}'";
    expect(await context.output(kilobytes)).toBe('65536\n');
    expect(await context.output(kilobytes, { more: { shmSizeBytes: 1 << 20 } })).toBe('1024\n');
  });

  it('applies limits and adds hosts', async () => {
    const ulimits = [{ name: 'nofile', soft: 100, hard: 200 }];
    expect(await context.output('ulimit -Sn; ulimit -Hn', { more: { ulimits } })).toBe('100\n200\n');
    const unlimited = [{ name: 'core', soft: 0, hard: -1 }];
    expect(await context.output('ulimit -Sc; ulimit -Hc', { more: { ulimits: unlimited } })).toBe('0\nunlimited\n');
    const extraHosts = [{ host: 'db', ip: '10.1.2.3' }];
    expect(await context.output('tail -1 /etc/hosts', { more: { extraHosts } })).toBe('10.1.2.3\tdb\n');
  });
}

function users(context: SuiteContext): void {
  const id = 'id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status';
  const noCaps = 'CapEff:\t0000000000000000\n';

  it('runs as a named user with its groups, without capabilities', async () => {
    expect(await context.output(id, { user: 'app' })).toBe(`100\n101\n101 200\n/home/app\n${noCaps}`);
  });

  it('runs as an unknown number with group 0', async () => {
    expect(await context.output(id, { user: '4242' })).toBe(`4242\n0\n0\n/\n${noCaps}`);
  });

  it('runs as a user and a group', async () => {
    expect(await context.output(id, { user: 'app:0' })).toBe(`100\n0\n0\n/home/app\n${noCaps}`);
  });

  it('names a user that does not exist', async () => {
    const { error } = await context.runner.run(context.fixture.spec('id', { user: 'nosuch' }));
    expect(error?.code).toBe('TSB_SANDBOX_USER_NOT_FOUND');
    expect(error?.message).toBe('unable to find user nosuch: no matching entries in passwd file');
  });
}

function ends(context: SuiteContext): void {
  it('gives the exit code and the signal', async () => {
    expect(await context.status(context.fixture.spec('exit 3'))).toEqual({ code: 3, signal: undefined });
    const killed = context.fixture.spec("sh -c 'kill -9 $$'; exit $?");
    expect((await context.status(killed))?.code).toBe(137);
  });

  it('tells commands that cannot be executed apart', async () => {
    const failure = async (args: readonly string[]): Promise<unknown> => {
      const { status } = await context.runner.run(context.fixture.spec('', { args }));
      return [status?.code, status?.execFailure?.kind, status?.execFailure?.message];
    };
    expect(await failure(['/nosuch'])).toEqual([127, 'not-found', 'exec: "/nosuch": no such file or directory']);
    expect(await failure(['nosuch'])).toEqual([127, 'not-found', 'exec: "nosuch": executable file not found in $PATH']);
    expect(await failure(['/etc/passwd'])).toEqual([
      126,
      'permission-denied',
      'exec: "/etc/passwd": permission denied',
    ]);
    const base = context.fixture.makeDir('format', { 'bin/x': 'no program' });
    const spec = context.fixture.spec('', { args: ['/x/bin/x'], mounts: [{ kind: 'bind', source: base, dest: '/x' }] });
    const { chmodSync } = await import('node:fs');
    chmodSync(`${base}/bin/x`, 0o755);
    const { status } = await context.runner.run(spec);
    expect(status?.execFailure?.kind).toBe('bad-format');
    expect(status?.execFailure?.message).toBe('exec: "/x/bin/x": exec format error');
  });

  it('finds a command in the PATH of its own environment', async () => {
    expect(await context.output('', { args: ['echo', 'hi'], env: ['PATH=/nosuch:/etc/passwd:/bin'] })).toBe('hi\n');
  });

  it('makes the working directory when the image lacks it', async () => {
    expect(await context.output('pwd; stat -c "%a %u" .', { cwd: '/new/dir' })).toBe('/new/dir\n755 0\n');
  });

  it('ends what the command left behind', async () => {
    expect(await context.output('sleep 1000 & sleep 1000 & echo started')).toBe('started\n');
  });

  it('passes 100 MB on without a byte lost', async () => {
    const { stdout } = await context.runner.run(context.fixture.spec('head -c 104857600 /dev/zero | tr "\\0" a'));
    expect(stdout.length).toBe(104857600);
    expect(stdout.every((byte) => byte === 97)).toBe(true);
  });

  it('keeps standard output and error apart', async () => {
    const { stdout, stderr } = await context.runner.run(context.fixture.spec('echo o; echo e >&2'));
    expect([stdout.toString(), stderr.toString()]).toEqual(['o\n', 'e\n']);
  });
}

function network(context: SuiteContext): void {
  it('has only a loopback device that is up without network', async () => {
    const lines = 'ls /sys/class/net; cat /proc/net/dev | wc -l; ip addr show lo | grep -c "LOOPBACK,UP"';
    expect(await context.output(lines, { network: 'none' })).toBe('lo\n3\n1\n');
  });

  it("shares the host's devices in the host's network", async () => {
    const { readdirSync } = await import('node:fs');
    const devices = await context.output('ls /sys/class/net', { network: 'host' });
    expect(devices.trim().split('\n').sort()).toEqual(readdirSync('/sys/class/net').sort());
  });
  const isHelped = findNetworkHelpers()[0]?.name === 'slirp4netns';
  const address = Object.values(networkInterfaces())
    .flat()
    .find((found) => found?.family === 'IPv4' && !found.internal)?.address;

  it.skipIf(!isHelped)('has a network of its own by default, with a name server in reach', async () => {
    const script = 'ls /sys/class/net; ip -4 addr show tap0 | grep -o "10.0.2.100/24"; ip route | head -1';
    expect(await context.output(script, { network: 'sandbox' })).toBe(
      'lo\ntap0\n10.0.2.100/24\ndefault via 10.0.2.2 dev tap0 \n',
    );
    const servers = await context.output('cat /etc/resolv.conf', { network: 'sandbox' });
    expect(servers).toMatch(/^nameserver (?!127\.)[\d.]+$/m);
    expect(servers).not.toMatch(/^nameserver (127\.|::1$)/m);
  });

  it.skipIf(!isHelped || address === undefined)(
    "leads out by default, but not to this machine's loopback",
    async () => {
      await using outside = await serve(address ?? '');
      await using inside = await serve('127.0.0.1');
      const get = (host: string, port: number) => `wget -q -O - http://${host}:${port}/ 2>/dev/null || echo shut`;
      const script = [get(address ?? '', outside.port), get('127.0.0.1', inside.port), get('10.0.2.2', inside.port)];
      expect(await context.output(script.join('; '), { network: 'sandbox' })).toBe('served\nshut\nshut\n');
      expect(await context.output(get('127.0.0.1', inside.port), { network: 'host' })).toBe('served\n');
      expect(await context.output(get(address ?? '', outside.port), { network: 'none' })).toBe('shut\n');
    },
  );
}

async function serve(address: string): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((_, answer) => answer.end('served\n'));
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
