// What every Executor must do with the mounts of a RUN and with its layers.
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { OverlayMount } from '../../src/sandbox/executor.ts';
import { StackLookup } from '../../src/sandbox/stack-lookup.ts';
import { SuiteContext, type SuiteOptions } from './executor-suite.ts';

export function mountsSuite(name: string, options: SuiteOptions): void {
  describe.skipIf(options.skip !== undefined)(`${name}, mounts`, () => {
    const context = new SuiteContext(options);
    kinds(context);
    stubs(context, options);
    hostile(context);
    layers(context, options);
  });
}

/** Paths in an upper directory, sorted. */
function changes(rootfs: OverlayMount): readonly string[] {
  return readdirSync(rootfs.upperDir ?? '', { recursive: true, encoding: 'utf8' }).sort();
}

function kinds(context: SuiteContext): void {
  it('binds directories and files, read-only when asked', async () => {
    const source = context.fixture.makeDir('source', { f: 'text', 'sub/g': 'deep' });
    const mounts = [
      { kind: 'bind' as const, source, dest: '/ro', readonly: true },
      { kind: 'bind' as const, source, dest: '/rw' },
      { kind: 'bind' as const, source: join(source, 'f'), dest: '/etc/file' },
    ];
    const script = 'cat /ro/f /etc/file /ro/sub/g; (echo n >/ro/n) 2>/dev/null || echo refused; echo n >/rw/n';
    expect(await context.output(script, { mounts })).toBe('texttextdeeprefused\n');
    expect(readFileSync(join(source, 'n'), 'utf8')).toBe('n\n');
  });

  it('mounts a path of another stack, links followed inside it', async () => {
    const dir = context.fixture.makeDir('stack', { 'a/f': 'inside' });
    symlinkSync('/a', join(dir, 'link'));
    const overlay = { lowerDirs: [dir] };
    const mounts = [
      { kind: 'overlay' as const, overlay, selector: '/link', dest: '/m', readonly: true },
      { kind: 'overlay' as const, overlay, selector: 'a/f', dest: '/file', readonly: true },
      { kind: 'overlay' as const, overlay: context.fixture.overlay([dir]), selector: '/', dest: '/rw' },
    ];
    const script = 'cat /m/f /file; (touch /m/x) 2>/dev/null || echo refused; echo w >/rw/w; cat /rw/w';
    expect(await context.output(script, { mounts })).toBe('insideinsiderefused\nw\n');
    expect(existsSync(join(dir, 'w'))).toBe(false);
  });

  it('names a source that is not there', async () => {
    const overlay = { lowerDirs: [context.fixture.makeDir('empty')] };
    const mounts = [{ kind: 'overlay' as const, overlay, selector: '/nosuch', dest: '/m' }];
    const { error } = await context.runner.run(context.fixture.spec('true', { mounts }));
    expect(error?.code).toBe('TSB_SANDBOX_MOUNT_SOURCE_NOT_FOUND');
    expect(error?.message).toBe('"/nosuch", to be mounted on /m: not found');
  });

  it('mounts a tmpfs with the mode of what it covers, or as asked', async () => {
    const covered = context.fixture.makeDir('covered', { 'mine/f': '' });
    chmodSync(join(covered, 'mine'), 0o710);
    const mounts = [
      { kind: 'tmpfs' as const, dest: '/mine' },
      { kind: 'tmpfs' as const, dest: '/new' },
      { kind: 'tmpfs' as const, dest: '/own', mode: 0o751, isNoexec: true },
    ];
    const rootfs = context.fixture.overlay([covered, ...context.fixture.spec('true').rootfs.lowerDirs]);
    const script = 'stat -c %a /mine /new /own; cp /bin/busybox /own; /own/busybox true 2>/dev/null || echo refused';
    expect(await context.output(script, { mounts, rootfs })).toBe('710\n1777\n751\nrefused\n');
  });

  it('lets nothing but mounts be written to when asked', async () => {
    const mounts = [{ kind: 'tmpfs' as const, dest: '/made/here' }];
    const script = '(touch /x /etc/x /made/x) 2>/dev/null || echo refused; touch /made/here/x /dev/shm/x && pwd';
    const more = { isRootReadonly: true };
    expect(await context.output(script, { mounts, more, cwd: '/srv/dir' })).toBe('refused\n/srv/dir\n');
  });

  it('mounts a tmpfs of a size', async () => {
    const mounts = [{ kind: 'tmpfs' as const, dest: '/t', sizeBytes: 1 << 20 }];
    expect(await context.output("df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t", { mounts })).toBe(
      '1024\n1777\n',
    );
  });

  it('gives a secret its mode and owner and leaves it nowhere', async () => {
    const bytes = new TextEncoder().encode('s3cret');
    const rootfs = context.fixture.overlay();
    const mounts = [{ kind: 'secret' as const, dest: '/run/secrets/key', bytes, mode: 0o440, uid: 100, gid: 101 }];
    const script =
      'cat /run/secrets/key; stat -c " %a %u %g" /run/secrets/key; (echo x >/run/secrets/key) 2>&1 || true';
    const output = await context.output(script, { rootfs, mounts });
    expect(output).toMatch(/^s3cret 440 100 101\n/);
    expect(output).toContain('Read-only');
    expect(changes(rootfs).filter((path) => path.startsWith('run'))).toEqual([]);
  });

  it('refuses a target that cannot be', async () => {
    for (const dest of ['/', '/proc/x', '/proc']) {
      const spec = context.fixture.spec('true', { mounts: [{ kind: 'tmpfs', dest }] });
      const { error } = await context.runner.run(spec);
      expect(error?.message).toBe(`invalid mount target "${dest}"`);
    }
  });
}

function stubs(context: SuiteContext, options: SuiteOptions): void {
  it('leaves nothing of the mounts in the layer but the empty kernel directories', async () => {
    const rootfs = context.fixture.overlay();
    const mounts = [
      { kind: 'tmpfs' as const, dest: '/aa/bb/cc' },
      { kind: 'tmpfs' as const, dest: '/aa/dd' },
      { kind: 'tmpfs' as const, dest: '/root/new' },
    ];
    expect(await context.output('touch /aa/bb/cc/x; ls /aa', { rootfs, mounts })).toBe('bb\ndd\n');
    expect(changes(rootfs)).toEqual(['dev', 'etc', 'proc', 'root', 'sys']);
  });

  it("keeps the parents' times, and the step's own changes", async () => {
    const base = context.fixture.makeDir('base', { 'bin/keep': '' });
    mkdirSync(join(base, 'opt'));
    mkdirSync(join(base, 'srv'));
    context.fixture.own(base);
    for (const name of ['opt', 'srv']) utimesSync(join(base, name), 1_600_000_000, 1_600_000_000.5);
    const rootfs = context.fixture.overlay([base, context.fixture.base]);
    const mounts = [
      { kind: 'tmpfs' as const, dest: '/opt/m' },
      { kind: 'tmpfs' as const, dest: '/srv/m' },
    ];
    await context.output('touch /srv/own', { rootfs, mounts });
    expect(lstatSync(join(rootfs.upperDir, 'opt')).mtimeMs).toBe(1_600_000_000_500);
    expect(lstatSync(join(rootfs.upperDir, 'srv')).mtimeMs).toBeGreaterThan(1_700_000_000_000);
    expect(changes(rootfs)).not.toContain('opt/m');
    expect(changes(rootfs)).toContain('srv/own');
  });

  it('makes targets inside other mounts', async () => {
    const cache = context.fixture.makeDir('cache');
    const mounts = [
      { kind: 'bind' as const, source: cache, dest: '/cache' },
      { kind: 'tmpfs' as const, dest: '/cache/in/side' },
    ];
    expect(await context.output('touch /cache/in/side/x; ls /cache/in', { mounts })).toBe('side\n');
  });

  it('says what to do about a target inside a read-only mount', async () => {
    const source = context.fixture.makeDir('readonly');
    const mounts = [
      { kind: 'bind' as const, source, dest: '/ro', readonly: true },
      { kind: 'tmpfs' as const, dest: '/ro/x' },
    ];
    const { error } = await context.runner.run(context.fixture.spec('true', { mounts }));
    const { code, message } = options.readonlyTarget ?? {
      code: 'TSB_SANDBOX_SETUP_FAILED',
      message: /^the sandbox could not mount \/ro\/x: openat2: ENOENT$/,
    };
    expect(error?.code).toBe(code);
    expect(error?.message).toMatch(message);
  });
}

function hostile(context: SuiteContext): void {
  it('follows links of an image inside it only', async () => {
    const outside = context.fixture.makeDir('outside');
    const base = context.fixture.makeDir('hostile');
    mkdirSync(join(base, 'etc'));
    symlinkSync(`../../../../../..${outside}/resolv`, join(base, 'etc/resolv.conf'));
    symlinkSync(`${outside}/hosts`, join(base, 'etc/hosts'));
    symlinkSync('/proc/self/fd', join(base, 'fds'));
    symlinkSync('/../../..', join(base, 'up'));
    context.fixture.own(base);
    const rootfs = context.fixture.overlay([base, context.fixture.base]);
    const mounts = [{ kind: 'tmpfs' as const, dest: `/up${outside}/x` }];
    expect(await context.output('cat /etc/hosts | wc -l', { rootfs, mounts })).toBe('2\n');
    expect(readdirSync(outside)).toEqual([]);
    const magic = context.fixture.spec('true', { rootfs, mounts: [{ kind: 'tmpfs', dest: '/fds/3/x' }] });
    expect((await context.runner.run(magic)).error?.code).toBe('TSB_SANDBOX_MOUNT_TARGET');
  });

  it('names a loop of links', async () => {
    const base = context.fixture.makeDir('loop');
    symlinkSync('loop', join(base, 'loop'));
    const rootfs = context.fixture.overlay([base, context.fixture.base]);
    const spec = context.fixture.spec('true', { rootfs, mounts: [{ kind: 'tmpfs', dest: '/loop/x' }] });
    expect((await context.runner.run(spec)).error?.message).toBe("too many symbolic links in the image at '/loop/x'");
  });
}

function layers(context: SuiteContext, options: SuiteOptions): void {
  it('stacks 120 layers whose paths hold any character', async () => {
    const dirs = Array.from({ length: 120 }, (_, index) =>
      context.fixture.makeDir(`layer:with,odd\\name ${index}`, { [`f${index}`]: `${index}`, top: `${index}` }),
    );
    const rootfs = context.fixture.overlay([...dirs, context.fixture.base]);
    expect(await context.output('cat /top /f119; ls /f* | wc -l', { rootfs })).toBe('0119120\n');
  });

  it('mounts one layer read-only and nothing at all writable', async () => {
    const readonly = await context.runner.run(
      context.fixture.spec('', { rootfs: { lowerDirs: [context.fixture.base] }, args: ['/bin/true'] }),
    );
    expect(readonly.error?.message).toMatch(/^the sandbox could not make the mount point .*EROFS$/);
    const scratch = await context.status(
      context.fixture.spec('', { rootfs: context.fixture.overlay([]), args: ['/x'] }),
    );
    expect(scratch?.execFailure?.kind).toBe('not-found');
  });

  it('writes changes and deletions into the upper directory', async () => {
    const rootfs = context.fixture.overlay();
    await context.output('echo new >/new; rm /etc/group; mkdir /d; chmod 4755 /new', { rootfs });
    expect(readFileSync(join(rootfs.upperDir, 'new'), 'utf8')).toBe('new\n');
    expect(lstatSync(join(rootfs.upperDir, 'new')).mode & 0o7777).toBe(0o4755);
    const whiteout = lstatSync(join(rootfs.upperDir, 'etc/group'));
    expect([whiteout.isCharacterDevice(), whiteout.rdev]).toEqual([true, 0]);
  });

  it('looks paths up as the mounted stack shows them', async () => {
    const base = context.fixture.makeDir('opaque', { 'd/a': '', 'd/b': '', 'd/sub/c': '', f: '' });
    symlinkSync('d/sub', join(base, 'link'));
    context.fixture.own(base);
    const rootfs = context.fixture.overlay([base, context.fixture.base]);
    await context.output('rm -r /d /f; mkdir /d; touch /d/n; ln -s sub /d/link', { rootfs });
    const stack = new StackLookup([rootfs.upperDir, ...rootfs.lowerDirs], options.isRootless);
    const found = ['/d/n', '/d/a', '/d/sub/c', '/f', '/bin/sh', '/link/c'].map(
      (path) => stack.find(path) !== undefined,
    );
    expect(found).toEqual([true, false, false, false, true, false]);
    expect(new StackLookup([base], options.isRootless).find('/../link/./c')?.hostPath).toBe(join(base, 'd/sub/c'));
  });
}
