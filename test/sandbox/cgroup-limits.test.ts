// Limits in the cgroups of this machine as it has them; the layouts it lacks as directories with the kernel's files.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { describeNeeding, type Need } from '../needs.ts';
import { CONTROLLERS, readCgroupHost } from '../../src/sandbox/cgroup-host.ts';
import {
  checkControllers,
  checkLimits,
  type ResourceLimits,
  StepCgroup,
  StepCgroups,
} from '../../src/sandbox/cgroup-limits.ts';
import { applyLimits } from '../../src/sandbox/cgroup-settings.ts';
import { useLocalSandbox } from './local-sandbox.ts';
import { processes } from './process-tree.ts';
import { encodeSpec } from './sandbox-runner.ts';

const MB = 1024 * 1024;
const host = readCgroupHost();
const needs = ['root', '/bin/busybox', ...CONTROLLERS.map(controller)];

function controller(name: (typeof CONTROLLERS)[number]): Need {
  return { name: `the cgroup controller ${name}`, isHere: host.usable.has(name) };
}

const hasWeights = ['/sys/fs/cgroup/blkio/blkio.bfq.io_serviced', '/sys/module/bfq'].some((path) => existsSync(path));

/** Undefined while nobody reads. */
function openWriter(pipe: string): number | undefined {
  try {
    return openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}

/** Cgroups of a process's steps that exist now. */
function stepCgroups(pid: number | undefined): string[] {
  const dirs = [...new Set([...host.usable.values()].map(({ dir }) => dir))];
  return dirs.flatMap((dir) =>
    readdirSync(dir)
      .filter((name) => name.startsWith(`tsbuild-${pid}-`))
      .map((name) => join(dir, name)),
  );
}

describeNeeding(needs, 'the limits of a step', () => {
  const sandbox = useLocalSandbox();
  const run = (script: string, limits: ResourceLimits) =>
    sandbox.runner.run(sandbox.fixture.spec(script, { more: { limits } }));

  it('tell of a process that was ended for lack of memory', async () => {
    const { status } = await run('head -c 100m /dev/zero | tail >/dev/null; exit 9', { memoryBytes: 24 * MB });
    // Where the memory of the killed process is slow to come back, the kernel ends the shell too.
    expect([9, 137]).toContain(status?.code);
    expect(status?.memoryKill?.limitBytes).toBe(24 * MB);
    expect(status?.memoryKill?.peakBytes).toBeGreaterThan(20 * MB);
    expect((await run('true', { memoryBytes: 24 * MB })).status).toEqual({ code: 0, signal: undefined });
  });

  it('tell of it also when the kernel ends the process that keeps the step', async () => {
    const pipe = join(sandbox.fixture.makeDir('pipe'), 'go');
    execFileSync('mkfifo', [pipe]);
    const mounts = [{ kind: 'bind', dest: '/pipe', source: dirname(pipe), readonly: false }] as const;
    const spec = sandbox.fixture.spec('read x </pipe/go; tail /dev/zero & exec tail /dev/zero', { mounts });
    const running = sandbox.runner.run({ ...spec, limits: { memoryBytes: 24 * MB } });
    let go: number | undefined;
    // Opens once the step is reading.
    await expect.poll(() => (go = openWriter(pipe)), { timeout: 10_000 }).toBeDefined();
    for (const dir of stepCgroups(process.pid)) {
      const [keeper] = readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n');
      writeFileSync(`/proc/${keeper}/oom_score_adj`, '1000');
    }
    writeSync(go ?? -1, 'now\n');
    closeSync(go ?? -1);
    const { status, error } = await running;
    expect(error).toBeUndefined();
    expect(status).toMatchObject({ code: 137, signal: 'SIGKILL', memoryKill: { limitBytes: 24 * MB } });
  });

  it('keep a fork bomb small', async () => {
    const script = 'n=0; while [ $n -lt 40 ]; do sleep 9 & n=$((n+1)); done 2>/dev/null; echo never';
    const { status, stdout } = await run(script, { pidsLimit: 12 });
    expect({ code: status?.code, stdout: stdout.toString() }).toEqual({ code: 2, stdout: '' });
    const fits = await run('sleep 0.1 & sleep 0.1 & wait; echo fits', { pidsLimit: 3 });
    expect(fits.stdout.toString()).toBe('fits\n');
  });

  it('choose processors', async () => {
    expect((await run('nproc', { cpusetCpus: '0' })).stdout.toString()).toBe('1\n');
    const nodes = await run('grep -E "^(Cpus|Mems)_allowed_list" /proc/self/status', { cpusetMems: '0' });
    expect(nodes.stdout.toString()).toMatch(/^Cpus_allowed_list:\t0.*\nMems_allowed_list:\t0\n$/);
  });

  it('hold back a step that computes', async () => {
    const script = 'timeout 1 sh -c "while :; do :; done"; times | tail -1';
    const { stdout } = await run(script, { cpuQuotaUs: 20_000, cpuPeriodUs: 100_000, cpuShares: 512 });
    const [, seconds = '9'] = /^0m([\d.]+)s/.exec(stdout.toString()) ?? [];
    expect(Number(seconds)).toBeLessThan(0.6);
  });

  it.skipIf(!hasWeights)('weigh the use of disks [skipped without the scheduler bfq]', async () => {
    const files = '/sys/fs/cgroup/blkio/blkio.bfq.weight /sys/fs/cgroup/io.bfq.weight';
    expect((await run(`cat ${files} 2>/dev/null`, { ioWeight: 300 })).stdout.toString()).toMatch(/\b300\n/);
  });

  it('can be read by the step', async () => {
    const files = '/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max';
    expect((await run(`cat ${files} 2>/dev/null`, { memoryBytes: 64 * MB })).stdout.toString()).toBe(`${64 * MB}\n`);
  });

  it('are refused when the machine has less', async () => {
    const { error } = await run('true', { cpusetCpus: '0,4095' });
    const online = readFileSync('/sys/devices/system/cpu/online', 'utf8').trim();
    expect(error).toMatchObject({
      code: 'TSB_SANDBOX_CGROUP_FAILED',
      message: '--cpuset-cpus "0,4095" names a processor that cannot be used here',
    });
    // Or fewer, where the cgroup around has fewer.
    if (host.usable.get('cpuset')?.dir === '/sys/fs/cgroup/cpuset')
      expect(error?.hint).toBe(`those that can: ${online}`);
    expect((await run('true', { cpusetMems: '1023' })).error?.message).toBe(
      '--cpuset-mems "1023" names a memory node that cannot be used here',
    );
    expect(stepCgroups(process.pid)).toEqual([]);
  });

  it.skipIf(host.usable.get('cpu')?.version !== 1)(
    'are refused, with the flag, when the kernel does not take them',
    () => {
      const place = host.usable.get('cpu');
      if (place === undefined) return;
      const around = join(place.dir, `test-around-${process.pid}`);
      mkdirSync(around);
      onTestFinished(() => rmdirSync(around));
      writeFileSync(join(around, 'cpu.cfs_quota_us'), '50000');
      const usable = new Map([['cpu', { ...place, dir: around }] as const]);
      expect(() => new StepCgroup('step', usable, { cpuQuotaUs: 150_000 })).toThrow(
        expect.objectContaining({
          message: '--cpus 1.5 (--cpu-quota 150000) cannot be set: the kernel says EINVAL',
          hint: 'the cgroup around has 0.5 processors: ask for no more',
        }),
      );
      expect(() => new StepCgroup('step', usable, { cpuQuotaUs: 20_000, cpuPeriodUs: 2_000_000 })).toThrow(
        '--cpu-period 2000000 cannot be set: the kernel says EINVAL',
      );
      expect(readdirSync(around, { withFileTypes: true }).filter((entry) => entry.isDirectory())).toEqual([]);
    },
  );

  it('leave no cgroup when the builder is killed', async () => {
    const script = fileURLToPath(new URL('user-runner-child.ts', import.meta.url));
    const builder: ChildProcess = spawn(process.execPath, [script, join(sandbox.fixture.dir, 'state')], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    const limits = { memoryBytes: 64 * MB, pidsLimit: 20 };
    builder.stdin?.write(`${encodeSpec(sandbox.fixture.spec('sleep 4712', { more: { limits } }))}\n`);
    const isFull = (dir: string): boolean => readFileSync(join(dir, 'cgroup.procs'), 'utf8') !== '';
    await expect.poll(() => stepCgroups(builder.pid).filter(isFull).length, { timeout: 10_000 }).toBeGreaterThan(0);
    builder.kill('SIGKILL');
    await expect.poll(() => stepCgroups(builder.pid), { timeout: 10_000 }).toEqual([]);
  });

  it('leave no cgroup that another process has not left yet when the builder is killed', async () => {
    const dirs = [...new Set([...host.usable.values()].map(({ dir }) => join(dir, `test-guard-${process.pid}`)))];
    for (const dir of dirs) mkdirSync(dir);
    const program = fileURLToPath(new URL('guard-child.ts', import.meta.url));
    const builder = spawn(process.execPath, [program, ...dirs, '/sys/fs/cgroup/never/made'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const inside = spawn('sleep', ['4713']);
    onTestFinished(() => void inside.kill('SIGKILL'));
    for (const dir of dirs.slice(0, 1)) writeFileSync(join(dir, 'cgroup.procs'), String(inside.pid));
    const guard = await new Promise<string>((resolve) => builder.stdout.once('data', (text) => resolve(`${text}`)));
    const isGuarded = (): boolean => processes().has(Number(guard));
    builder.kill('SIGKILL');
    await expect.poll(() => processes().has(builder.pid ?? 0)).toBe(false);
    expect([isGuarded(), existsSync(dirs[0] ?? '')]).toEqual([true, true]);
    inside.kill('SIGKILL');
    await expect.poll(() => dirs.filter((dir) => existsSync(dir)), { timeout: 10_000 }).toEqual([]);
    await expect.poll(isGuarded).toBe(false);
  });

  it('have a cgroup for each step, whichever executor of the process runs it', async () => {
    const limits = { memoryBytes: 64 * MB, pidsLimit: 20 };
    const made = [new StepCgroups().make(limits), new StepCgroups().make(limits)];
    const dirs = made.flatMap((cgroup) => [...cgroup.dirs.values()]);
    expect(new Set(dirs).size).toBe(4);
    expect(dirs.every((dir) => existsSync(dir))).toBe(true);
    for (const cgroup of made) await cgroup.remove();
    expect(stepCgroups(process.pid)).toEqual([]);
  });

  it('leave no cgroup that the step itself has made', async () => {
    const cgroup = new StepCgroups().make({ pidsLimit: 20 });
    for (const dir of cgroup.dirs.values()) mkdirSync(join(dir, 'inner/innermost'), { recursive: true });
    await cgroup.remove();
    expect(stepCgroups(process.pid)).toEqual([]);
  });
});

describe('the cgroups of a machine', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-cgroups-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  /** A directory that looks like a unified tree in which `own` is this process's cgroup. */
  function unifiedTree(name: string, own: string, controllers: string): string {
    const mount = join(dir, name);
    for (let path = join(mount, own); path.startsWith(mount); path = join(path, '..')) {
      mkdirSync(path, { recursive: true });
      writeFileSync(join(path, 'cgroup.controllers'), `${controllers}\n`);
      writeFileSync(join(path, 'cgroup.procs'), '');
      writeFileSync(join(path, 'cgroup.subtree_control'), '');
    }
    return mount;
  }
  const mountLine = (mount: string) => `30 20 0:26 / ${mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate`;

  it('are next to the own one where there is one tree', () => {
    const mount = unifiedTree('v2', 'user.slice/app.scope', 'cpuset cpu io memory pids');
    const found = readCgroupHost(mountLine(mount), '0::/user.slice/app.scope\n');
    expect(found.layout).toBe('v2');
    expect([...found.missing]).toEqual([]);
    expect(found.usable.get('memory')).toEqual({ version: 2, dir: join(mount, 'user.slice') });
  });

  it('are inside the root of the machine, where processes may live beside them', () => {
    const mount = unifiedTree('root', '.', 'cpu memory pids');
    const { usable } = readCgroupHost(mountLine(mount), '0::/\n');
    expect(usable.get('memory')).toEqual({ version: 2, dir: mount });
    new StepCgroup('step', usable, { memoryBytes: 64 * MB });
    expect(readFileSync(join(mount, 'step/memory.max'), 'utf8')).toBe(String(64 * MB));
  });

  it('are refused in the root of a container, whose processes keep the kernel from sharing out', () => {
    const mount = unifiedTree('container', '.', 'cpu memory pids');
    writeFileSync(join(mount, 'cgroup.type'), 'domain\n');
    const found = readCgroupHost(mountLine(mount), '0::/\n');
    expect(found.missing.get('memory')).toBe(
      `this process is in the topmost cgroup that can be seen (${mount}), which is not the machine's and has to be left first`,
    );
    expect(found.usable.size).toBe(0);
  });

  it('get their limits in the words of the unified tree', () => {
    const mount = unifiedTree('words', 'a/b', 'cpu memory pids');
    const { usable, missing } = readCgroupHost(mountLine(mount), '0::/a/b\n');
    expect(missing.get('cpuset')).toBe('the kernel does not offer it in the unified tree');
    const limits = { memoryBytes: 64 * MB, cpuShares: 1024, cpuQuotaUs: 50_000, pidsLimit: 10 };
    new StepCgroup('step', usable, limits);
    const read = (file: string) => readFileSync(join(mount, 'a/step', file), 'utf8');
    expect(['memory.max', 'memory.swap.max', 'cpu.weight', 'cpu.max', 'pids.max'].map(read)).toEqual([
      String(64 * MB),
      String(64 * MB),
      '39',
      '50000 100000',
      '11',
    ]);
    expect(existsSync(join(mount, 'a/cgroup.subtree_control'))).toBe(true);
  });

  it('are refused where the kernel lacks them, and processors that are not there', () => {
    const mount = unifiedTree('lacking', 'a/b', 'cpuset memory');
    const { usable } = readCgroupHost(mountLine(mount), '0::/a/b\n');
    writeFileSync(join(mount, 'a/cpuset.cpus.effective'), '2-3,7\n');
    const check = (cpusetCpus: string) => () =>
      checkLimits({ cpusetCpus }, { layout: 'v2', usable, missing: new Map() });
    expect(check('2,7')).not.toThrow();
    expect(check('2-4')).toThrow(
      expect.objectContaining({
        message: '--cpuset-cpus "2-4" names a processor that cannot be used here',
        hint: 'those that can: 2-3,7',
      }),
    );
    // A directory cannot be written to.
    mkdirSync(join(mount, 'a/step/memory.max'), { recursive: true });
    const limits = { memoryBytes: 64 * MB };
    const dirs = new Map([[join(mount, 'a'), join(mount, 'a/step')]]);
    expect(() => applyLimits(limits, usable, dirs)).toThrow('--memory 67108864 cannot be set: the kernel says EISDIR');
    const absent = new Map([[join(mount, 'a'), join(mount, 'a/nothing')]]);
    expect(() => applyLimits(limits, usable, absent)).toThrow(
      `--memory 67108864 cannot be set: the kernel has no such limit here (${mount}/a/nothing/memory.max)`,
    );
  });

  it('weigh the use of disks where the kernel has weights', () => {
    const mount = unifiedTree('weights', 'a/b', 'io');
    new StepCgroup('step', readCgroupHost(mountLine(mount), '0::/a/b\n').usable, { ioWeight: 300 });
    expect(readFileSync(join(mount, 'a/step', 'io.bfq.weight'), 'utf8')).toBe('300');
    const first = join(dir, 'v1-blkio');
    mkdirSync(join(first, 'here'), { recursive: true });
    const found = readCgroupHost(`31 20 0:27 / ${first} rw - cgroup cgroup rw,blkio\n`, '4:blkio:/here\n');
    new StepCgroup('step', found.usable, { ioWeight: 300 });
    expect(readFileSync(join(first, 'here/step/blkio.bfq.weight'), 'utf8')).toBe('300');
    expect(() => checkControllers({ ioWeight: 300 }, readCgroupHost('', ''))).toThrow(
      'the cgroup controller io cannot be used: no mounted cgroup tree has it',
    );
  });

  it('are named when they are missing', () => {
    const mount = unifiedTree('few', 'a/b', 'cpu pids');
    const found = readCgroupHost(mountLine(mount), '0::/a/b\n');
    const check = () => checkControllers({ pidsLimit: 5, memoryBytes: 64 * MB }, found);
    expect(check).toThrow(
      'the cgroup controller memory cannot be used: the kernel does not offer it in the unified tree',
    );
    expect(() => checkControllers({ pidsLimit: 5 }, found)).not.toThrow();
  });

  it('are in trees of their own where there are several', () => {
    const mount = join(dir, 'v1-memory');
    mkdirSync(join(mount, 'here'), { recursive: true });
    const lines = `31 20 0:27 / ${mount} rw - cgroup cgroup rw,memory\n${mountLine(unifiedTree('hybrid', 'x', ''))}`;
    const found = readCgroupHost(lines, '4:memory:/here\n0::/x\n');
    expect(found.layout).toBe('hybrid');
    expect([...found.usable]).toEqual([['memory', { version: 1, dir: join(mount, 'here') }]]);
    expect(readCgroupHost('', '')).toMatchObject({ layout: 'none' });
    expect(readCgroupHost('', '').missing.get('cpu')).toBe('no mounted cgroup tree has it');
    expect(() => checkControllers({ cpuShares: 512 }, readCgroupHost('', ''))).toThrow(
      expect.objectContaining({
        hint: `leave out the limit, or ${process.geteuid?.() === 0 ? 'mount the cgroup file systems at /sys/fs/cgroup' : 'build as root'}`,
      }),
    );
  });
});
