// A store on a disk that fills up: one clear error, nothing half-made, and the space is there again afterwards.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
const MIB = 1 << 20;

describeRoot('a full disk', {}, (caller) => {
  let disk: string;
  let store: string;
  beforeAll(() => {
    disk = join(caller.home, 'disk');
    store = join(disk, 'store');
    mkdirSync(disk);
  });
  beforeEach(() => mount(12));
  afterEach(() => execFileSync('umount', [disk]));

  const mount = (mib: number): void => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', disk]);
  };
  const build = (context: string, ...flags: string[]) => {
    const named = ['-t', 'full:1', '--build-context', `base=oci-layout://${base}`];
    const result = caller.tsbuild(['build', '--progress=plain', ...named, ...flags, context], { store });
    return { status: result.status, text: outputOf(result) };
  };
  const full = (): string =>
    `error: no space left for the store "${store}"\nhint: free some space there, or name a directory on another disk with TSBUILD_ROOT\n`;
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(disk);
    return bavail * bsize;
  };
  /** Committed snapshots only, no temporary file, no image, no mount; and the store works. */
  const expectCleanStore = (snapshots: number): void => {
    expect(readdirSync(join(store, 'snapshots'))).toHaveLength(snapshots);
    expect(readdirSync(join(store, 'tmp')).filter((name) => name !== 'sandbox')).toEqual([]);
    expect(caller.tsbuild(['images'], { store }).stdout).not.toContain('full');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${store}/`);
  };

  it('during COPY of a large file names the store and gives the space back', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY big /big\n', big: randomBytes(20 * MIB) });
    const { status, text } = build(context);
    expect(text).toContain(`Dockerfile:2:1: ${full()}`);
    expect(status).toBe(1);
    expectCleanStore(1);
    expect(freeBytes()).toBeGreaterThan(4 * MIB);
  });

  it('during COPY of many files names the store and gives the space back', () => {
    const files = Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`f${n}`, randomBytes(50_000)]));
    const { status, text } = build(writeContext(caller, { Dockerfile: 'FROM base\nCOPY . /x\n', ...files }));
    expect(text).toContain(`Dockerfile:2:1: ${full()}`);
    expect(status).toBe(1);
    expectCleanStore(1);
  });

  it('during RUN fails the step with its own output, keeps the steps before it, and gives the space back', () => {
    const context = writeContext(caller, {
      Dockerfile: 'FROM base\nCOPY block /block\nRUN while true; do cat /block >> /fill || exit 3; done\n',
      block: randomBytes(MIB),
    });
    const { status, text } = build(context);
    expect(text).toMatch(/^#\d+ [\d.]+ cat: .*No space left on device$/m);
    expect(text).toContain(
      'did not complete successfully: exit code: 3\nhint: the disk of the store is full, so the failed state was not kept: free some space there, or name a directory on another disk with TSBUILD_ROOT\n',
    );
    expect(status).toBe(1);
    expectCleanStore(2);
    expect(freeBytes()).toBeGreaterThan(3 * MIB);
    expect(build(context).text).toMatch(/\[1\/\d\] COPY block \/block\n#\d+ CACHED/);
  });

  it.each([1, 3, 4])('of %i MiB during a pull names the store and leaves no part of a layer', (mib) => {
    execFileSync('umount', [disk]);
    mount(mib);
    const { status, text } = build(writeContext(caller, { Dockerfile: 'FROM base\nRUN true\n' }));
    expect(text).toContain(`Dockerfile:1:1: ${full().trimEnd()}`);
    expect(status).toBe(1);
    expectCleanStore(0);
  });

  it('at the destination of an output names the destination and leaves nothing there', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY big /big\n', big: randomBytes(12 * MIB) });
    for (const type of ['oci', 'docker', 'tar', 'local']) {
      const dest = join(disk, `out-${type}`);
      const named = ['-t', 'full:1', '--build-context', `base=oci-layout://${base}`];
      const result = caller.tsbuild([
        'build',
        '--progress=plain',
        ...named,
        '-o',
        `type=${type},dest=${dest}`,
        context,
      ]);
      expect(outputOf(result)).toContain(`error: cannot write "${dest}": no space left on the device\n`);
      expect(result.status).toBe(1);
      expect(readdirSync(disk)).toEqual([]);
    }
    expect(caller.tsbuild(['images']).stdout).not.toContain('full');
    expect(existsSync(store)).toBe(false);
  });
});
