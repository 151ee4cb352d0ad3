// What is left of a build that is killed or interrupted in the middle of a step, whoever builds it and in whatever way: no
// process, no mount, no cgroup, no namespace.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { CONTROLLERS, readCgroupHost } from '../../src/sandbox/cgroup-host.ts';
import { describeNeeding, type Need } from '../needs.ts';
import { promisedMs } from '../promised-time.ts';
import {
  type Caller,
  makeBase,
  outputOf,
  rootCaller,
  singleIDCaller,
  USER_NEEDS,
  userCaller,
  writeContext,
} from './harness.ts';
import { commandsOf, expectNothingLeft, type Running, startBuild, stopWith } from './running-build.ts';

const base = makeBase();
const BUSYBOX = '/bin/busybox';
const KEPT = 'stopping the build; finished steps are kept (again to stop at once)';
const PROMISED_MS = 1000;
const CGROUPS: readonly Need[] = (['memory', 'cpu', 'pids'] as const).map((name) => ({
  name: `the cgroup controller ${name}`,
  isHere: CONTROLLERS.includes(name) && readCgroupHost().usable.has(name),
}));

/** Daemons in sessions of their own, all deaf to what can be ignored. */
const DAEMONS = `FROM base
COPY busybox /bin/busybox
RUN trap '' TERM INT HUP; \\
    busybox setsid busybox sh -c 'busybox sleep 7101; busybox sleep 7102' & \\
    (busybox setsid busybox sh -c 'busybox sleep 7103 & busybox sleep 7104' &) ; \\
    echo begun; busybox sleep 7105; busybox sleep 7106
`;

interface Mode {
  readonly title: string;
  readonly makeCaller: () => Caller;
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly needs?: readonly Need[];
  /** A process that is there while the step runs. */
  readonly beside?: RegExp;
  /** The signals in all their forms, not only the two most usual. */
  readonly isThorough?: true;
}

const LIMITS = ['-m', '200m', '--cpus', '1', '--pids-limit', '50'];
const RUNC = ['--oci-runtime', 'runc'];
const MODES: readonly Mode[] = [
  { title: 'root', makeCaller: rootCaller, flags: ['--network=host'] },
  {
    title: 'root with limits and a network of the step’s own',
    makeCaller: rootCaller,
    flags: LIMITS,
    needs: [...CGROUPS, 'slirp4netns', '/dev/net/tun'],
    beside: /slirp4netns/,
    isThorough: true,
  },
  { title: 'root with --userns', makeCaller: rootCaller, flags: ['--userns', ...LIMITS], needs: CGROUPS },
  {
    title: 'root with fuse-overlayfs',
    makeCaller: rootCaller,
    env: { TSBUILD_OVERLAY: 'fuse' },
    needs: ['fuse-overlayfs', '/dev/fuse'],
    beside: /fuse-overlayfs/,
  },
  {
    title: 'root with runc',
    makeCaller: rootCaller,
    flags: [...RUNC, ...LIMITS],
    needs: [...CGROUPS, 'runc'],
    beside: /runc/,
  },
  {
    title: 'an ordinary user',
    makeCaller: userCaller,
    needs: [...USER_NEEDS, 'slirp4netns', '/dev/net/tun'],
    beside: /slirp4netns/,
    isThorough: true,
  },
  {
    title: 'an ordinary user with runc',
    makeCaller: userCaller,
    flags: RUNC,
    needs: [...USER_NEEDS, 'runc'],
    beside: /runc/,
  },
  { title: 'a user of a single id', makeCaller: singleIDCaller, needs: [...USER_NEEDS] },
];

describeNeeding(['root', BUSYBOX], 'a build that is killed', () => {
  for (const mode of MODES) describeNeeding(mode.needs ?? [], `as ${mode.title}`, () => testsOf(mode));
});

function testsOf(mode: Mode): void {
  let caller: Caller;
  let context = '';
  beforeAll(() => {
    caller = mode.makeCaller();
    context = writeContext(caller, { Dockerfile: DAEMONS });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    chmodSync(join(context, 'busybox'), 0o755);
  });
  afterAll(() => caller?.dispose());
  const args = (): string[] => {
    const named = ['--build-context', `base=oci-layout://${base}`];
    return ['build', '--progress=plain', ...named, ...(mode.flags ?? [])];
  };
  const start = (): Promise<Running> =>
    startBuild(caller, [...args(), context], {
      env: mode.env ?? {},
      hasBegun: ({ text, below }) => /^#\d+ [\d.]+ begun$/m.test(text) && sleeping(below) === 4,
    });

  it('leaves nothing by SIGKILL, and the next build works', async () => {
    const running = await start();
    if (mode.beside !== undefined) expect(commandsOf(running.below).join('\n')).toMatch(mode.beside);
    process.kill(running.pid, 'SIGKILL');
    await expectNothingLeft(running, caller);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(caller.home);
    const next = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo next\n' });
    const built = caller.tsbuild([...args(), next], mode.env === undefined ? {} : { env: mode.env });
    expect(built.status, outputOf(built)).toBe(0);
    expect(outputOf(built)).not.toContain('begun');
  });

  it('leaves nothing by Ctrl-C, within a second, and says what is kept', async () => {
    const running = await start();
    const tookMs = await stopWith(running, 'SIGINT');
    await expectNothingLeft(running, caller);
    expect(running.text()).toContain(`SIGINT: ${KEPT}`);
    expect(tookMs).toBeLessThan(promisedMs(PROMISED_MS));
    expect(await running.ended).toBe(130);
  });

  if (mode.isThorough !== true) return;

  it.each(['SIGTERM', 'SIGHUP'] as const)('leaves nothing by %s', async (signal) => {
    const running = await start();
    const tookMs = await stopWith(running, signal);
    await expectNothingLeft(running, caller);
    expect(running.text()).toContain(`${signal}: ${KEPT}`);
    expect(tookMs).toBeLessThan(promisedMs(PROMISED_MS));
  });

  it('leaves nothing by a second signal, which ends the builder at once', async () => {
    const running = await start();
    const stopped = stopWith(running, 'SIGINT');
    // Of another kind, so that the kernel does not make one of both.
    process.kill(running.pid, 'SIGTERM');
    const tookMs = await stopped;
    await expectNothingLeft(running, caller);
    expect(tookMs).toBeLessThan(promisedMs(PROMISED_MS));
    expect(await running.ended).toBe(130);
  });
}

describeNeeding(
  ['root', 'git', 'ssh-agent', 'ssh-keygen'],
  'what runs beside the steps of a build that is killed',
  () => {
    const caller = rootCaller();
    afterAll(() => caller.dispose());

    it.each(['SIGKILL', 'SIGINT'] as const)('is no git any more (%s)', async (signal) => {
      // Answers nobody.
      const server = createServer();
      onTestFinished(() => server.closeAllConnections());
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const { port } = server.address() as AddressInfo;
      const context = writeContext(caller, { Dockerfile: `FROM base\nADD http://127.0.0.1:${port}/hangs.git /\n` });
      const named = ['--build-context', `base=oci-layout://${base}`];
      const running = await startBuild(caller, ['build', '--progress=plain', ...named, context], {
        hasBegun: ({ below }) => commandsOf(below).some((command) => /git.remote-http/.test(command)),
      });
      process.kill(running.pid, signal);
      await expectNothingLeft(running, caller);
      server.close();
    });

    it.each(['SIGKILL', 'SIGINT'] as const)('is no agent with a key any more (%s)', async (signal) => {
      const context = writeContext(caller, {
        Dockerfile: 'FROM base\nRUN --mount=type=ssh echo begun; sleep 7107\n',
      });
      const key = join(context, 'key');
      spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
      const named = ['--build-context', `base=oci-layout://${base}`, '--ssh', `default=${key}`];
      const temporary = mkdtempSync(join(caller.home, 'tmp-'));
      const running = await startBuild(caller, ['build', '--progress=plain', ...named, context], {
        env: { TMPDIR: temporary },
        hasBegun: ({ text }) => /^#\d+ [\d.]+ begun$/m.test(text),
      });
      const [, directory = ''] = /ssh-agent -D -a (.*)\/agent /.exec(commandsOf(running.below).join('\n')) ?? [];
      expect(existsSync(directory)).toBe(true);
      process.kill(running.pid, signal);
      await expectNothingLeft(running, caller);
      await expect.poll(() => readdirSync(temporary), { timeout: 10_000 }).toEqual([]);
      const next = writeContext(caller, { Dockerfile: 'FROM base\nRUN true\n' });
      caller.tsbuild(['-q', '--build-context', `base=oci-layout://${base}`, next]);
      const names = readdirSync(join(caller.home, 'store', 'tmp'));
      expect(names.filter((name) => name.includes('ssh-'))).toEqual([]);
    });
  },
);

/** All four daemons of the step. */
function sleeping(below: readonly number[]): number {
  return commandsOf(below).filter((command) => /^busybox sleep 710\d /.test(command)).length;
}
