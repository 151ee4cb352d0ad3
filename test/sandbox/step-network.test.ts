// Networks of steps: who gets which, and what is left of their helpers.
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import { InitExecutable } from '../../src/sandbox/init-process.ts';
import { findNetworkHelpers, type NetworkHelper } from '../../src/sandbox/network-helper.ts';
import { StepNetworks } from '../../src/sandbox/network-pool.ts';
import { machineArch } from '../../src/sandbox/sandbox-host.ts';
import { openTun } from '../open-tun.ts';
import { descendants, processes } from './process-tree.ts';
import {
  addUser,
  cannotMakeUsers,
  cannotRun,
  encodeSpec,
  LocalRunner,
  removeUser,
  SandboxFixture,
} from './sandbox-runner.ts';

const helpers = findNetworkHelpers();
const skip = cannotRun() ?? (helpers.length === 0 ? 'needs slirp4netns' : undefined);
const never = new AbortController().signal;
const wanted = { network: 'sandbox', isInsecure: false } as const;
const OWN_NAMESPACE = 'readlink /proc/self/ns/net';

describe.skipIf(skip !== undefined)(`the networks of steps${skip ? ` [skipped: ${skip}]` : ''}`, () => {
  let fixture: SandboxFixture;
  let init: InitExecutable;
  let runner: LocalRunner;

  beforeAll(() => {
    fixture = new SandboxFixture('root:root');
    init = new InitExecutable(machineArch());
    runner = new LocalRunner(new EmbeddedExecutor({ stateDir: join(fixture.dir, 'state') }));
  });
  afterAll(async () => {
    await runner?.close();
    init?.close();
    fixture?.remove();
  });

  const namespaceOf = async (script = OWN_NAMESPACE, isInsecure = false): Promise<string> => {
    const { stdout } = await runner.run(fixture.spec(script, { network: 'sandbox', more: { isInsecure } }));
    return stdout.toString().trim();
  };
  const fakeHelper = (script: string): NetworkHelper => {
    const path = join(fixture.makeDir('helper'), 'helper');
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
    return { name: 'slirp4netns', path };
  };

  it('are taken again by the next step, and are another than this machine’s', async () => {
    const first = await namespaceOf();
    expect(first).toMatch(/^net:\[\d+\]$/);
    expect(first).not.toBe(readlinkSync('/proc/self/ns/net'));
    expect(await namespaceOf()).toBe(first);
  });

  it('are never shared by two steps at a time', async () => {
    const script = `${OWN_NAMESPACE}; nc -l -p 7070 >/dev/null & sleep 0.2; kill $!`;
    const found = await Promise.all(Array.from({ length: 3 }, () => namespaceOf(script)));
    expect(new Set(found).size).toBe(3);
  });

  it('are not used again once a step might have changed them', async () => {
    const changed = await namespaceOf(`${OWN_NAMESPACE}; ip link set lo down`, true);
    expect(changed).toMatch(/^net:\[\d+\]$/);
    expect(await namespaceOf()).not.toBe(changed);
  });

  it('are this machine’s with one note where no helper is installed', async () => {
    const notes: string[] = [];
    const networks = new StepNetworks(
      (note) => notes.push(note),
      () => [],
    );
    for (const _ of [1, 2]) {
      using lent = await networks.lend(wanted, init, never);
      expect(lent.network).toEqual({ mode: 'host' });
    }
    expect(notes).toEqual([
      "neither pasta nor slirp4netns is installed, so steps share this machine's network; install passt or slirp4netns, or say --network=host",
    ]);
  });

  it('are this machine’s with a note that quotes the helper that failed', async () => {
    const notes: string[] = [];
    const broken = fakeHelper('echo starting; echo "open(/dev/net/tun): No such file or directory" >&2; exit 1');
    const absent: NetworkHelper = { name: 'pasta', path: '/nosuch' };
    const networks = new StepNetworks(
      (note) => notes.push(note),
      () => [broken, absent],
    );
    using lent = await networks.lend(wanted, init, never);
    expect(lent.network).toEqual({ mode: 'host' });
    expect(notes).toEqual([
      "slirp4netns failed (open(/dev/net/tun): No such file or directory), pasta failed (could not start /nosuch: execve: ENOENT), so steps share this machine's network; tsbuild doctor says what to do, or say --network=host",
    ]);
  });

  it('cannot be had when the helper that worked does not any more', async () => {
    const once = join(fixture.makeDir('once'), 'once');
    const helper = fakeHelper(`mkdir ${once} || { echo enough >&2; exit 1; }; echo 1 >&0; exec sleep 1000`);
    const networks = new StepNetworks(undefined, () => [helper]);
    try {
      using _first = await networks.lend(wanted, init, never);
      await expect(networks.lend(wanted, init, never)).rejects.toMatchObject({
        code: 'TSB_SANDBOX_NETWORK_FAILED',
        message: 'no network for the step: slirp4netns failed (enough)',
      });
    } finally {
      networks.close();
    }
  });

  it('leave no descriptor once they are closed', async () => {
    const before = readdirSync('/proc/self/fd').length;
    const networks = new StepNetworks();
    const lent = await Promise.all([1, 2, 3].map(() => networks.lend(wanted, init, never)));
    expect(new Set(lent.map(({ network }) => JSON.stringify(network))).size).toBe(3);
    for (const one of lent) one[Symbol.dispose]();
    networks.close();
    await expect.poll(() => readdirSync('/proc/self/fd').length, { timeout: 10_000 }).toBeLessThanOrEqual(before);
  });

  // pasta takes the addresses of the device of the default route.
  const hasRoute = /^\w+\s+00000000\s/m.test(readFileSync('/proc/net/route', 'utf8'));
  it.each(helpers.filter(({ name }) => name !== 'pasta' || hasRoute))('come from $name', async (helper) => {
    const networks = new StepNetworks(undefined, () => [helper]);
    try {
      using lent = await networks.lend(wanted, init, never);
      if (lent.network.mode !== 'joined') throw new Error('no network of its own');
      const inside = (...args: readonly string[]) =>
        spawnSync('nsenter', [`--net=${lent.network.mode === 'joined' ? lent.network.namespacePath : ''}`, ...args], {
          encoding: 'utf8',
        }).stdout;
      expect(inside('cat', '/proc/net/route')).toMatch(/^\w+\s+00000000\s+(?!00000000)/m);
      expect(inside('cat', '/proc/net/dev')).toMatch(/^ *lo:/m);
    } finally {
      networks.close();
    }
  });

  const USER = `tsbuild-net-${process.pid}`;
  const lackOfUsers = cannotMakeUsers();
  afterAll(() => {
    if (lackOfUsers === undefined) removeUser(USER);
  });

  it.each([
    { kind: 'the built-in sandbox', runtime: [], needs: 'true', user: undefined },
    { kind: 'runc', runtime: ['runc'], needs: 'runc', user: undefined },
    { kind: 'an ordinary user', runtime: [], needs: 'runuser', user: USER },
  ])('leave no process, and so no namespace, when the builder is killed ($kind)', async ({ runtime, needs, user }) => {
    if (spawnSync('sh', ['-c', `command -v ${needs}`]).status !== 0) return;
    if (user !== undefined && lackOfUsers !== undefined) return;
    if (user !== undefined) addUser(user);
    using place = user === undefined ? undefined : new SandboxFixture(`${user}:${user}`);
    const { dir } = place ?? fixture;
    const script = fileURLToPath(new URL('user-runner-child.ts', import.meta.url));
    const become = user === undefined ? [] : [...openTun(), 'runuser', '-u', user, '--'];
    const [program = '', ...args] = [...become, process.execPath, script, join(dir, 'state'), ...runtime];
    const builder = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'] });
    const marker = `6${process.pid}${runtime.length}${user === undefined ? 0 : 1}`;
    const spec = (place ?? fixture).spec(`sleep ${marker} & exec sleep ${marker}`, { user: 'app', network: 'sandbox' });
    builder.stdin.write(`${encodeSpec(spec)}\n`);
    const sleepers = () => [...processes()].filter(([, { command }]) => command === `sleep ${marker} `);
    await expect.poll(() => sleepers().length, { timeout: 20_000 }).toBe(2);
    const own = descendants(builder.pid ?? 0);
    expect(own.map((pid) => processes().get(pid)?.command ?? '').join('\n')).toMatch(/slirp4netns |pasta /);
    const dead = new Promise((resolve) => builder.once('exit', resolve));
    const node = own.find((pid) => processes().get(pid)?.command.includes(script)) ?? builder.pid ?? 0;
    process.kill(node, 'SIGKILL');
    await dead;
    await expect.poll(() => own.filter((pid) => processes().has(pid)), { timeout: 20_000 }).toEqual([]);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(dir);
  });
});
