import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readCgroupHost } from '../../src/sandbox/cgroup-host.ts';
import { OCIRuntimeExecutor } from '../../src/sandbox/runtime-executor.ts';
import { executorSuite } from './executor-suite.ts';
import { mountsSuite } from './mounts-suite.ts';
import { cannotRun, encodeSpec, LocalRunner, SandboxFixture, UserRunner } from './sandbox-runner.ts';

const USER = `tsbuild-oci-${process.pid}`;

const hasFirstVersion = (['memory', 'pids'] as const).every((name) => readCgroupHost().usable.get(name)?.version === 1);

function missing(...programs: readonly string[]): string | undefined {
  const absent = programs.find((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0);
  return absent === undefined ? cannotRun() : `needs ${absent}`;
}

const readonlyTarget = {
  code: 'TSB_SANDBOX_RUNTIME_FAILED',
  message: /^the OCI runtime runc failed: .*\/ro\/x.*read-only file system$/,
};
const root = {
  skip: missing('runc'),
  owner: () => 'root:root',
  makeRunner: (stateDir: string) => new LocalRunner(new OCIRuntimeExecutor({ stateDir, runtime: 'runc' })),
  isRootless: false,
  hasDeviceCgroup: true,
  readonlyTarget,
};
const rootless = {
  skip: missing('runc', 'useradd', 'runuser', 'newuidmap'),
  owner: () => `${USER}:${USER}`,
  makeRunner: (stateDir: string) => new UserRunner(USER, stateDir, 'runc'),
  isRootless: true,
  readonlyTarget,
};

beforeAll(() => {
  if (rootless.skip === undefined) execFileSync('useradd', ['--create-home', USER]);
});
afterAll(() => {
  if (rootless.skip === undefined) execFileSync('userdel', ['--remove', USER], { stdio: 'ignore' });
});

executorSuite('runc as root', root);
mountsSuite('runc as root', root);
executorSuite('runc as an ordinary user', rootless);
mountsSuite('runc as an ordinary user', rootless);

describe.skipIf(cannotRun() !== undefined)('an OCI runtime', () => {
  let fixture: SandboxFixture;
  beforeAll(() => {
    fixture = new SandboxFixture('root:root');
  });
  afterAll(() => fixture?.remove());

  const runWith = async (runtime: string) => {
    const runner = new LocalRunner(new OCIRuntimeExecutor({ stateDir: join(fixture.dir, 'state'), runtime }));
    try {
      return await runner.run(fixture.spec('true'));
    } finally {
      await runner.close();
    }
  };
  const fakeRuntime = (script: string): string => {
    const path = join(fixture.makeDir('runtime'), 'fake');
    writeFileSync(path, `#!/bin/sh\n[ "$1" = --version ] && echo 'spec: 1.0.2' && exit\n${script}\n`);
    chmodSync(path, 0o755);
    return path;
  };

  it('that is not installed is named', async () => {
    expect((await runWith('nosuch')).error).toMatchObject({
      code: 'TSB_SANDBOX_RUNTIME_NOT_FOUND',
      message: 'the OCI runtime "nosuch" is not on PATH',
    });
    expect((await runWith('/nosuch')).error?.message).toBe(
      'the sandbox could not start the runtime /nosuch: execve: ENOENT',
    );
  });

  it.each([
    ['/bin/true', /^true \(|^says nothing$/],
    ['/bin/false', /^false \(|^says nothing$/],
    ['/bin/sh', /./],
    ['/bin/cat', /./],
    ['/bin/echo', /./],
  ])('that is another program is found out: %s', async (program, said) => {
    const { error, status } = await runWith(program);
    expect(status).toBeUndefined();
    expect(error).toMatchObject({
      code: 'TSB_SANDBOX_RUNTIME_UNKNOWN',
      message: `${program} is not an OCI runtime: it names no version of the specification, and knows no command "state"`,
    });
    const start = `--oci-runtime (or TSBUILD_OCI_RUNTIME) takes runc, crun, or another program with their command line; ${program} --version `;
    expect(error?.hint?.slice(0, start.length)).toBe(start);
    expect(error?.hint?.slice(start.length).replace('says: ', '')).toMatch(said);
  });

  it('that names no specification is one when it knows of containers', async () => {
    const path = join(fixture.makeDir('runtime'), 'odd');
    const script =
      'case "$*" in --version) echo odd 1;; *no-such-container*) echo container does not exist >&2; exit 1;; *) exit 42; esac';
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    expect((await runWith(path)).status).toEqual({ code: 42, signal: undefined });
  });

  it('that cannot run here is quoted', async () => {
    const problem = `echo '{"msg":"invalid file system type on \`/sys/fs/cgroup\`","level":"error"}' >/proc/self/fd/9; exit 1`;
    const runtime = fakeRuntime(problem);
    expect((await runWith(runtime)).error).toEqual({
      code: 'TSB_SANDBOX_RUNTIME_FAILED',
      message: `the OCI runtime ${runtime} failed: invalid file system type on \`/sys/fs/cgroup\``,
      hint: 'leave out --oci-runtime (and TSBUILD_OCI_RUNTIME) to use the built-in sandbox',
    });
  });

  it('passes the exit code of a step on when it has nothing to say', async () => {
    expect((await runWith(fakeRuntime('exit 42'))).status).toEqual({ code: 42, signal: undefined });
  });

  it.skipIf(missing('runc') !== undefined).each([{}, { limits: { memoryBytes: 64 << 20 } }])(
    'comes to an end with the builder, and so do its cgroups: %j',
    async (more) => {
      if ('limits' in more && readCgroupHost().missing.has('memory')) return;
      const script = fileURLToPath(new URL('user-runner-child.ts', import.meta.url));
      const builder = spawn(process.execPath, [script, join(fixture.dir, 'state'), 'runc'], {
        stdio: ['pipe', 'ignore', 'inherit'],
      });
      const marker = `4${process.pid}`;
      builder.stdin.write(
        `${encodeSpec(fixture.spec(`sleep ${marker} & exec sleep ${marker}`, { user: 'app', more }))}\n`,
      );
      const count = () => Number(spawnSync('pgrep', ['-fc', `^sleep ${marker}$`], { encoding: 'utf8' }).stdout);
      await expect.poll(count, { timeout: 10_000 }).toBe(2);
      const dead = new Promise((resolve) => builder.once('exit', resolve));
      builder.kill('SIGKILL');
      await dead;
      await expect.poll(count).toBe(0);
      const find = ['/sys/fs/cgroup', '-name', `tsbuild-${builder.pid}-*`];
      await expect.poll(() => spawnSync('find', find, { encoding: 'utf8' }).stdout, { timeout: 10_000 }).toBe('');
    },
  );

  it.skipIf(missing('runc') !== undefined || !hasFirstVersion).each([{}, { limits: { memoryBytes: 64 << 20 } }])(
    'keeps a step below the cgroups of the builder: %j',
    async (more) => {
      const around = (['memory', 'pids'] as const).map((name) =>
        join(readCgroupHost().usable.get(name)?.dir ?? '', `test-around-${process.pid}`),
      );
      for (const dir of around) mkdirSync(dir);
      const removeAround = (): void => {
        for (const dir of around) if (existsSync(dir)) rmdirSync(dir);
      };
      onTestFinished(async () => {
        builder.kill('SIGKILL');
        await dead;
        await expect.poll(removeAround, { timeout: 10_000 }).toBeUndefined();
      });
      const script = fileURLToPath(new URL('user-runner-child.ts', import.meta.url));
      const enter = around.map((dir) => `echo $$ >${dir}/cgroup.procs && `).join('');
      const args = ['-c', `${enter}exec "$0" "$@"`, process.execPath, script, join(fixture.dir, 'state'), 'runc'];
      const builder = spawn('sh', args, { stdio: ['pipe', 'pipe', 'inherit'] });
      const dead = new Promise((resolve) => builder.once('exit', resolve));
      const marker = `5${process.pid}`;
      builder.stdin.write(`${encodeSpec(fixture.spec(`exec sleep ${marker}`, { more }))}\n`);
      const find = () => spawnSync('pgrep', ['-f', `^sleep ${marker}$`], { encoding: 'utf8' }).stdout.trim();
      await expect.poll(find, { timeout: 30_000 }).not.toBe('');
      const own = readFileSync(`/proc/${find()}/cgroup`, 'utf8').split('\n');
      for (const name of ['memory', 'pids']) {
        const line = own.find((text) => text.split(':')[1]?.split(',').includes(name) === true);
        expect(line).toMatch(new RegExp(`/test-around-${process.pid}/tsbuild-${builder.pid}-[^/]*(/[^/]*)?$`));
      }
      process.kill(Number(find()), 'SIGKILL');
      builder.stdin.end();
      await dead;
      for (const dir of around) {
        expect(readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory())).toEqual([]);
      }
      const left = spawnSync('find', ['/sys/fs/cgroup', '-name', `tsbuild-${builder.pid}-*`], { encoding: 'utf8' });
      expect(left.stdout).toBe('');
    },
  );

  it.skipIf(missing('runc') !== undefined)('applies every limit', async () => {
    const runner = new LocalRunner(new OCIRuntimeExecutor({ stateDir: join(fixture.dir, 'state'), runtime: 'runc' }));
    const limits = {
      memoryBytes: 64 << 20,
      memorySwapBytes: 128 << 20,
      cpuShares: 512,
      cpuQuotaUs: 50_000,
      cpuPeriodUs: 100_000,
      cpusetCpus: '0',
      pidsLimit: 40,
    };
    const lacks = (['memory', 'cpu', 'cpuset', 'pids'] as const).some((name) => readCgroupHost().missing.has(name));
    const files = {
      memory: 'memory/memory.limit_in_bytes memory.max',
      cpu: 'cpu/cpu.cfs_quota_us cpu.max',
      cpuset: 'cpuset/cpuset.cpus cpuset.cpus',
      pids: 'pids/pids.max pids.max',
    };
    const script = `cd /sys/fs/cgroup; for f in ${Object.values(files).join(' ')}; do cat $f 2>/dev/null; done; :`;
    const { status, stdout, error } = await runner.run(fixture.spec(script, { more: { limits } }));
    await runner.close();
    if (lacks) expect(error?.code).toBe('TSB_SANDBOX_CGROUP_MISSING');
    else {
      expect(status?.code).toBe(0);
      expect(stdout.toString()).toMatch(/^67108864\n50000( 100000)?\n0\n40\n$/);
    }
  });

  it.skipIf(missing('runc') !== undefined || readCgroupHost().missing.has('memory'))(
    'tells that a step was ended for lack of memory, with the peak',
    async () => {
      const runner = new LocalRunner(new OCIRuntimeExecutor({ stateDir: join(fixture.dir, 'state'), runtime: 'runc' }));
      const limits = { memoryBytes: 48 << 20, memorySwapBytes: 48 << 20 };
      const run = (script: string) => runner.run(fixture.spec(script, { more: { limits } }));
      const hungry = await run('exec tail -c 200000000 /dev/zero');
      expect(hungry.status).toMatchObject({ code: 137, memoryKill: { limitBytes: 48 << 20 } });
      const peak = hungry.status?.memoryKill?.peakBytes ?? 0;
      expect(peak).toBeGreaterThan(46 << 20);
      expect(peak).toBeLessThanOrEqual(48 << 20);
      // Also where the step itself goes on.
      expect((await run('tail -c 200000000 /dev/zero; exit 0')).status).toMatchObject({
        code: 0,
        memoryKill: { limitBytes: 48 << 20 },
      });
      expect(
        (await run('dd if=/dev/zero of=/file bs=1M count=100 2>/dev/null; sh -c "kill -9 \\$\\$"; exit $?')).status,
      ).toEqual({
        code: 137,
        signal: undefined,
      });
      await runner.close();
      const left = spawnSync('find', ['/sys/fs/cgroup', '-name', `tsbuild-${process.pid}-*`], { encoding: 'utf8' });
      expect(left.stdout).toBe('');
    },
  );

  it('leaves no mount, no file and no cgroup', async () => {
    await runWith(missing('runc') === undefined ? 'runc' : fakeRuntime('exit 0'));
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(fixture.dir);
    expect(readdirSync(join(fixture.dir, 'state'), { recursive: true }).sort()).toEqual([
      'empty-a',
      'empty-b',
      'mount',
    ]);
    const left = spawnSync('find', ['/sys/fs/cgroup', '-name', `tsbuild-${process.pid}-*`], { encoding: 'utf8' });
    expect(left.stdout).toBe('');
  });
});
