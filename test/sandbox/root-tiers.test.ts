import { existsSync, lstatSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import { RootTiers } from '../../src/sandbox/root-tiers.ts';
import { getXattr, setXattr } from '../../src/sys/libc.ts';
import { titled } from '../needs.ts';
import { cannotRun, SandboxFixture, Sink } from './sandbox-runner.ts';

const lack = cannotRun();

describe.skipIf(lack !== undefined)(titled('where no overlay can be mounted', lack), () => {
  let fixture: SandboxFixture;
  beforeAll(() => {
    fixture = new SandboxFixture('root:root');
  });
  afterAll(() => fixture?.remove());

  /** The kernel refuses a work directory inside the upper one. */
  const refused = () => {
    const overlay = fixture.overlay();
    const workDir = join(overlay.upperDir, 'work');
    mkdirSync(workDir);
    return { ...overlay, workDir };
  };

  it('a run falls back, says so once, and its changes and deletions are in the upper directory', async () => {
    const notes: string[] = [];
    const executor = new EmbeddedExecutor({ stateDir: join(fixture.dir, 'state'), note: (note) => notes.push(note) });
    const run = async (script: string, rootfs: ReturnType<typeof refused>, input?: string) => {
      const stdout = new Sink();
      const io = { stdout, signal: new AbortController().signal, ...(input && { stdin: Readable.from([input]) }) };
      const { code } = await executor.run(fixture.spec(script, { rootfs, network: 'none' }), io);
      return { code, text: stdout.bytes().toString() };
    };
    const first = refused();
    const script = 'cat; echo new >/root/new; rm /etc/group; rm -r /home/app && mkdir /home/app; echo x >>/etc/passwd';
    expect(await run(script, first, 'what stdin says')).toEqual({ code: 0, text: 'what stdin says' });
    expect(readFileSync(join(first.upperDir, 'root/new'), 'utf8')).toBe('new\n');
    expect(readFileSync(join(first.upperDir, 'etc/passwd'), 'utf8')).toMatch(/^root:.*\nx\n$/s);
    expect(lstatSync(join(first.upperDir, 'etc/group'))).toMatchObject({ rdev: 0 });
    expect(existsSync(join(first.upperDir, 'bin'))).toBe(false);
    expect((await run('exit 3', refused())).code).toBe(3);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(
      /^no overlay can be mounted \(mount: EINVAL\), so (steps run on fuse-overlayfs, which is slower|each step runs in a copy of its root filesystem, which is slow \(fuse-overlayfs: .+\)); tsbuild doctor says what to do$/,
    );
    expect(['fuse', 'copy']).toContain(executor.overlayTier);
    await executor.close();
  });

  it('a copy keeps extended attributes', async () => {
    const lower = fixture.makeDir('xattrs', { 'kept/file': 'a', 'touched/file': 'b' });
    setXattr(join(lower, 'kept/file'), 'user.a', Buffer.from('1'));
    setXattr(join(lower, 'touched'), 'user.b', Buffer.from('2'));
    const rootfs = { ...refused(), lowerDirs: [lower, fixture.base] };
    process.env['TSBUILD_OVERLAY'] = 'copy';
    const executor = new EmbeddedExecutor({ stateDir: join(fixture.dir, 'state') });
    delete process.env['TSBUILD_OVERLAY'];
    const spec = fixture.spec('chmod 700 /touched', { rootfs, network: 'none' });
    expect((await executor.run(spec, { signal: new AbortController().signal })).code).toBe(0);
    await executor.close();
    expect(getXattr(join(rootfs.upperDir, 'touched'), 'user.b')?.toString()).toBe('2');
    expect(existsSync(join(rootfs.upperDir, 'kept'))).toBe(false);
  });

  it('a tier that does not exist is refused', () => {
    mkdirSync(join(fixture.dir, 'state'), { recursive: true });
    expect(() => new RootTiers(fixture.dir, () => {}, 'aufs')).toThrow(
      'invalid TSBUILD_OVERLAY "aufs": expected kernel, fuse, copy',
    );
  });
});
