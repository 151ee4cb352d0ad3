// Cache mounts that travel through a registry: the bytes that cross to it, counted on the way, and what a kill leaves.
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { REGISTRY_PROGRAM, registryRig } from '../registry/registry-rig.ts';
import { buildBeside } from './async-build.ts';
import { describeRoot, makeBase, writeContext } from './harness.ts';
import { packagesOf, treeOf, writePackages } from './mount-files.ts';

/** By hand, 500 tells what a large one does. */
const MEGABYTES = Number(process.env['TSBUILD_TEST_MOUNT_MB'] ?? 64);
const MOST_MEMORY_MIB = 200;
const PACKAGES = packagesOf(MEGABYTES * 1e6);

describeRoot('cache mounts through a registry', { needs: [REGISTRY_PROGRAM], timeout: 240_000 }, (caller) => {
  const rig = registryRig();
  const moved = { up: 0, down: 0, packs: 0 };
  /** Answers no pack after that many. */
  let mostPacks = Number.POSITIVE_INFINITY;
  let stalled = (): void => {};
  let ref: string;
  let base: readonly string[];
  let context: string;
  let bytes: number;

  beforeAll(async () => {
    base = ['--build-context', `base=oci-layout://${makeBase()}`];
    const { host: target } = await rig.start();
    ref = `${await rig.serve((incoming, outgoing) => count(target, incoming, outgoing))}/cache/mounts:1`;
    context = writeContext(caller, { Dockerfile: dockerfile('true'), Reading: dockerfile('ls /c') });
  });
  beforeEach(() => {
    Object.assign(moved, { up: 0, down: 0, packs: 0 });
    mostPacks = Number.POSITIVE_INFINITY;
  });

  const dockerfile = (command: string): string => `FROM base\nRUN --mount=type=cache,id=npm,target=/c ${command}\n`;
  /** The Host header stays, so that the registry names this place for uploads. */
  const count = (target: string, incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const [host, port] = target.split(':');
    const { method, url = '', headers } = incoming;
    incoming.on('data', (chunk: Buffer) => (moved.up += chunk.length));
    if (method === 'GET' && url.includes('/blobs/')) moved.packs += 1;
    if (moved.packs > mostPacks) return stalled();
    const passed = request({ host, port, method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.on('data', (chunk: Buffer) => (moved.down += chunk.length));
      answer.pipe(outgoing);
    });
    passed.on('error', () => outgoing.destroy());
    incoming.pipe(passed);
  };
  const mountOf = (store: string): string => {
    const mounts = join(caller.home, store, 'mounts');
    return join(mounts, readdirSync(mounts)[0] ?? '', 'fs');
  };
  const build = async (store: string, ...flags: readonly string[]): Promise<string> => {
    const built = await buildBeside(caller, store, [...base, ...flags, context]);
    expect(built.status, built.text).toBe(0);
    return built.text;
  };
  const to = (): readonly string[] => ['--cache-to', `type=registry,ref=${ref},mounts=true,ignore-error=false`];
  const from = (): readonly string[] => ['--cache-from', `type=registry,ref=${ref}`];
  const reading = (): readonly string[] => ['-f', join(context, 'Reading'), ...from()];

  it('send all of their bytes once, and less than 5 % of them after a change of 1 % all over', async () => {
    await build('first');
    bytes = writePackages(mountOf('first'), 'one', PACKAGES);
    await build('first', ...to());
    expect(moved.up).toBeGreaterThan(bytes);
    expect(moved.up).toBeLessThan(bytes * 1.05);

    Object.assign(moved, { up: 0, down: 0 });
    await build('first', ...to());
    expect(moved.up + moved.down).toBeLessThan(bytes * 0.01);

    Object.assign(moved, { up: 0, down: 0 });
    const changed = PACKAGES.filter((number) => number % 100 === 50);
    expect(writePackages(mountOf('first'), 'two', changed)).toBeGreaterThan(bytes * 0.006);
    await build('first', ...to());
    expect(moved.up).toBeGreaterThan(bytes * 0.006);
    expect(moved.up + moved.down).toBeLessThan(bytes * 0.05);
  });

  it('bring nothing but the manifest and the config where no step runs', async () => {
    await build('cached', ...from());
    expect(moved.down).toBeLessThan(100_000);
  });

  it('bring each byte once, to several builds in one store, too', async () => {
    const texts = await Promise.all([build('shared', ...reading()), build('shared', ...reading())]);
    for (const text of texts) expect(text).not.toContain('warning');
    expect(moved.down).toBeGreaterThan(bytes);
    expect(moved.down).toBeLessThan(bytes * 1.05);
    expect(treeOf(mountOf('shared'))).toEqual(treeOf(mountOf('first')));
  });

  it('are not there at all after a kill in the middle, and whole after the next build', async () => {
    mostPacks = 8;
    const isStalled = new Promise<void>((resolve) => (stalled = resolve));
    const [node, script] = caller.command;
    const child = spawn(node, [script, 'build', ...base, ...reading(), context], {
      stdio: 'ignore',
      env: { PATH: process.env['PATH'], HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'killed') },
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await isStalled;
    child.kill('SIGKILL');
    await ended;
    const mounts = join(caller.home, 'killed', 'mounts');
    expect(readdirSync(mounts, { recursive: true }).filter((path) => String(path).includes('fs'))).toEqual([]);

    mostPacks = Number.POSITIVE_INFINITY;
    await build('killed', ...reading());
    expect(treeOf(mountOf('killed'))).toEqual(treeOf(mountOf('first')));
  });

  it(`come back within ${MOST_MEMORY_MIB} MiB of memory`, async ({ skip }) => {
    skip(spawnSync('/usr/bin/time', ['-f', '%M', 'true']).status !== 0, 'needs GNU time');
    const peak = join(caller.home, 'peak');
    const timed = { home: caller.home, command: caller.command, prefix: ['/usr/bin/time', '-f', '%M', '-o', peak] };
    const built = await buildBeside(timed, 'measured', [...base, ...reading(), context]);
    expect(built.status, built.text).toBe(0);
    expect(moved.down).toBeGreaterThan(bytes);
    expect(Number(readFileSync(peak, 'utf8')) / 1024).toBeLessThan(MOST_MEMORY_MIB);
  });
});
