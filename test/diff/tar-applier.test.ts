import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { computeDiffID, writeLayer } from '../../src/diff/layer-tar.ts';
import { applyLayer, type ApplyResult, extractArchive } from '../../src/diff/tar-applier.ts';
import { encodeTarHeader, TAR_END_LENGTH, type TarEntry, tarPadding } from '../../src/diff/tar-writer.ts';
import { RootView } from '../../src/snapshot/root-view.ts';
import { UpperWriter } from '../../src/snapshot/upper-writer.ts';
import { getXattr, makeNode, setTimesNs, setXattr } from '../../src/sys/libc.ts';
import { describeEntry } from '../snapshot/overlay-reader.ts';
import { randomEntries, writeEntries } from '../snapshot/random-tree.ts';

const CAPABILITY = Buffer.from('0100000200300000000000000000000000000000', 'hex');
let base = '';
let count = 0;
let upperDir = '';
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'tsbuild-apply-'));
});
afterAll(() => rmSync(base, { recursive: true }));
beforeEach(() => {
  upperDir = newDir();
});

function newDir(): string {
  const dir = join(base, `d${count++}`);
  mkdirSync(dir);
  return dir;
}

/** What a descriptor of this process is open on; empty for one that is gone by now. */
function linkedFrom(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return '';
  }
}

type Entry = Partial<TarEntry> & { name: string; text?: string };

function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ text = '', ...entry }) => {
    const type = entry.type ?? (entry.name.endsWith('/') ? 'dir' : 'file');
    const size = Buffer.byteLength(text);
    const defaults = { mode: type === 'dir' ? 0o755 : 0o644, uid: 0, gid: 0, mtimeSeconds: 1_600_000_000 };
    return [encodeTarHeader({ ...defaults, ...entry, type, size }), Buffer.from(text), Buffer.alloc(tarPadding(size))];
  });
  return Buffer.concat([...parts, Buffer.alloc(TAR_END_LENGTH)]);
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

function apply(entries: readonly Entry[], lowerDirs: readonly string[] = []): Promise<ApplyResult> {
  return applyLayer(once(tarOf(entries)), { upperDir, lowerDirs }, { isRootless: false });
}

function walk(dirs: readonly string[], path = '/'): string[] {
  const view = new RootView(dirs, { isRootless: false });
  return view.list(path).flatMap((node) => {
    const line = describeEntry({ ...node, mtimeMs: Math.floor(node.mtimeMs / 1000) });
    return node.type === 'dir' ? [line, ...walk(dirs, node.path)] : [line];
  });
}

const FIRST_ID = 100_000;
const isReachable =
  spawnSync('setpriv', [`--reuid=${FIRST_ID}`, `--regid=${FIRST_ID}`, '--clear-groups', process.execPath, '--version'])
    .status === 0;

/** Runs the command as root of a new user namespace whose ids 0..65535 are FIRST_ID and up. */
async function inUserNamespace(command: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const wait = 'echo ready; read -r _; exec setpriv --reuid=0 --regid=0 --clear-groups "$@"';
  const child = spawn('unshare', ['--user', '--keep-caps', 'sh', '-c', wait, 'sh', ...command]);
  let [stdout, stderr] = ['', ''];
  child.stderr.on('data', (text: Buffer) => {
    stderr += text.toString();
  });
  child.stdout.on('data', (text: Buffer) => {
    stdout += text.toString();
    if (stdout !== 'ready\n') return;
    stdout = '';
    for (const kind of ['uid', 'gid']) writeFileSync(`/proc/${child.pid}/${kind}_map`, `0 ${FIRST_ID} 65536`);
    child.stdin.end('\n');
  });
  await new Promise((resolve) => child.once('close', resolve));
  return { stdout, stderr };
}

const paths = (dirs: readonly string[]): string[] => walk(dirs).map((line) => line.split(' | ')[0] ?? '');

describeNeeding(['root'], 'unpacking a layer', () => {
  it('restores what was written: types, owners, modes, times, attributes and links', async () => {
    const from = newDir();
    mkdirSync(join(from, 'd'));
    writeFileSync(join(from, 'd/setuid'), 'x');
    chownSync(join(from, 'd/setuid'), 1, 3_000_000_000);
    chmodSync(join(from, 'd/setuid'), 0o6755);
    setXattr(join(from, 'd/setuid'), 'security.capability', CAPABILITY);
    linkSync(join(from, 'd/setuid'), join(from, 'hard'));
    symlinkSync('/nowhere', join(from, 'sym'));
    makeNode(join(from, 'dev'), 'block', 0o640, { major: 259, minor: 70_000 });
    makeNode(join(from, 'pipe'), 'fifo', 0o600, { major: 0, minor: 0 });
    writeFileSync(Buffer.from(`${from}/raw\xff`, 'latin1'), 'r');
    writeFileSync(join(from, 'old'), '');
    setTimesNs(join(from, 'old'), 0n, -86_400_000_000_000n);
    setTimesNs(join(from, 'd'), 0n, 5_000_000_000n);
    const tar = Buffer.concat([...writeLayer({ upperDir: from, lowerDirs: [] })]);
    const result = await applyLayer(once(tar), { upperDir, lowerDirs: [] }, { isRootless: false });
    expect(result).toEqual({ ...computeDiffID({ upperDir: from, lowerDirs: [] }), warnings: [] });
    expect(result.diffID).toBe(`sha256:${createHash('sha256').update(tar).digest('hex')}`);
    expect(computeDiffID({ upperDir, lowerDirs: [] }).diffID).toBe(result.diffID);
    expect(walk([upperDir])).toEqual(walk([from]));
    expect(getXattr(join(upperDir, 'hard'), 'security.capability')).toEqual(CAPABILITY);
    expect(lstatSync(join(upperDir, 'hard')).ino).toBe(lstatSync(join(upperDir, 'd/setuid')).ino);
  });

  it('of any changes gives the same root as the changes themselves', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(randomEntries, { minLength: 2, maxLength: 4 }), async (layers) => {
        const [from = '', ...lowerDirs] = layers.map((layer) => {
          const dir = newDir();
          writeEntries(dir, layer);
          return dir;
        });
        const upper = newDir();
        const changes = writeLayer({ upperDir: from, lowerDirs });
        await applyLayer(once(Buffer.concat([...changes])), { upperDir: upper, lowerDirs }, { isRootless: false });
        const expected = walk([from, ...lowerDirs]);
        expect(walk([upper, ...lowerDirs])).toEqual(expected);
      }),
      { numRuns: 150, seed: 11 },
    );
  });

  it('leaves no file open when it ends within one, or is interrupted there', async () => {
    const openFiles = () =>
      readdirSync('/proc/self/fd')
        .map(linkedFrom)
        .filter((path) => path.startsWith(base));
    const tar = tarOf([{ name: 'large', text: 'x'.repeat(300_000) }]);
    const target = { upperDir, lowerDirs: [] };
    await expect(applyLayer(once(tar.subarray(0, 100_000)), target, { isRootless: false })).rejects.toThrow();
    expect(openFiles()).toEqual([]);
    const controller = new AbortController();
    const pieces = async function* (): AsyncGenerator<Buffer> {
      yield tar.subarray(0, 100_000);
      controller.abort(new Error('stop'));
      yield tar.subarray(100_000);
    };
    const options = { isRootless: false, signal: controller.signal };
    await expect(applyLayer(pieces(), { ...target, upperDir: newDir() }, options)).rejects.toThrow('stop');
    expect(openFiles()).toEqual([]);
  });

  it('turns whiteouts into overlay marks', async () => {
    const lower = newDir();
    mkdirSync(join(lower, 'd/sub'), { recursive: true });
    for (const name of ['a', 'b', 'd/x', 'd/sub/y']) writeFileSync(join(lower, name), '');
    await apply(
      [{ name: '.wh.a' }, { name: '.wh.none' }, { name: 'd/' }, { name: 'd/new' }, { name: 'd/.wh..wh..opq' }],
      [lower],
    );
    expect(paths([upperDir, lower])).toEqual(['/b', '/d', '/d/new']);
    expect(lstatSync(join(upperDir, 'a')).isCharacterDevice()).toBe(true);
    expect(existsSync(join(upperDir, '.wh.none'))).toBe(false);
    expect(existsSync(join(upperDir, 'none'))).toBe(false);
    expect(getXattr(join(upperDir, 'd'), 'trusted.overlay.opaque')).toEqual(Buffer.from('y'));
  });

  it('does not let a whiteout hide what its own layer holds, in either order', async () => {
    const lower = newDir();
    for (const name of ['d', 'e']) {
      mkdirSync(join(lower, name));
      writeFileSync(join(lower, name, 'low'), '');
    }
    await apply(
      [{ name: 'd/high' }, { name: '.wh.d' }, { name: '.wh.e' }, { name: 'e/high' }, { name: '.wh.f' }, { name: 'f' }],
      [lower],
    );
    expect(paths([upperDir, lower])).toEqual(['/d', '/d/high', '/e', '/e/high', '/f']);
  });

  it('links to a file of an older layer by copying it up', async () => {
    const lower = newDir();
    writeFileSync(join(lower, 'old'), 'bytes');
    chmodSync(join(lower, 'old'), 0o4711);
    await apply([{ name: 'new', type: 'link', linkName: 'old' }, { name: '.wh.old' }], [lower]);
    expect(paths([upperDir, lower])).toEqual(['/new']);
    expect(readFileSync(join(upperDir, 'new'), 'utf8')).toBe('bytes');
    expect(lstatSync(join(upperDir, 'new')).mode & 0o7777).toBe(0o4711);
    await expect(apply([{ name: 'l', type: 'link', linkName: '/none' }])).rejects.toThrow(
      'cannot unpack "l": its link target "/none" does not exist',
    );
    await expect(apply([{ name: 'd/' }, { name: 'l', type: 'link', linkName: 'd' }])).rejects.toThrow('is a directory');
  });

  it('lets a later entry replace an earlier one and merges directories', async () => {
    await apply([
      { name: 'a', text: 'file' },
      { name: 'a/' },
      { name: 'a/x' },
      { name: 'b/deep/er' },
      { name: 'b', text: 'file' },
      { name: 'c/', mode: 0o700, mtimeSeconds: 1 },
      { name: 'c/x' },
      { name: 'c/', mode: 0o711, mtimeSeconds: 2 },
      { name: 's', type: 'symlink', linkName: 'c' },
      { name: 's/' },
    ]);
    expect(paths([upperDir])).toEqual(['/a', '/a/x', '/b', '/c', '/c/x', '/s']);
    expect(lstatSync(join(upperDir, 'c')).mtimeMs).toBe(2000);
    expect(lstatSync(join(upperDir, 'c')).mode & 0o777).toBe(0o711);
  });

  it('never reaches out of the root', async () => {
    const outside = newDir();
    await apply([
      { name: 'evil', type: 'symlink', linkName: outside },
      { name: 'evil/in', text: 'x' },
      { name: 'up', type: 'symlink', linkName: '../../../../../../..' },
      { name: `up${outside}/in2` },
      { name: '/abs', text: 'x' },
      { name: './' },
    ]);
    expect(existsSync(join(outside, 'in'))).toBe(false);
    expect(existsSync(join(outside, 'in2'))).toBe(false);
    expect(existsSync(join(upperDir, outside, 'in'))).toBe(true);
    expect(existsSync(join(upperDir, 'abs'))).toBe(true);
    for (const name of ['../x', 'a/../../x', '/..', 'a/..']) {
      await expect(apply([{ name }])).rejects.toThrow(`refused to unpack "${name}": the name leads out of the root`);
    }
    await expect(apply([{ name: 'd/.wh...' }])).rejects.toThrow('leads out of the root');
    await expect(apply([{ name: 'l', type: 'link', linkName: '../../etc/passwd' }])).rejects.toThrow('leads out');
    const passwd: Entry[] = [
      { name: 'p', type: 'symlink', linkName: '/etc/passwd' },
      { name: 'l', type: 'link', linkName: 'p' },
    ];
    await apply(passwd);
    expect(lstatSync(join(upperDir, 'l')).isSymbolicLink()).toBe(true);
  });

  it('sets no attribute of overlayfs or of the administrator', async () => {
    const y = Buffer.from('y');
    await apply([
      {
        name: 'd/',
        xattrs: [
          ['trusted.overlay.opaque', y],
          ['user.overlay.opaque', y],
          ['user.ok', Buffer.from([0, 255])],
        ],
      },
    ]);
    expect(getXattr(join(upperDir, 'd'), 'trusted.overlay.opaque')).toBeUndefined();
    expect(getXattr(join(upperDir, 'd'), 'user.overlay.opaque')).toBeUndefined();
    expect(getXattr(join(upperDir, 'd'), 'user.ok')).toEqual(Buffer.from([0, 255]));
  });

  it('refuses damaged bytes, and stops when told to', async () => {
    const tar = tarOf([{ name: 'f', text: 'x'.repeat(2000) }]);
    const run = (bytes: Buffer) =>
      applyLayer(once(bytes), { upperDir: newDir(), lowerDirs: [] }, { isRootless: false });
    await expect(run(tar.subarray(0, 1000))).rejects.toThrow('not a valid tar archive: Unexpected end of data');
    const damaged = Buffer.from(tar);
    damaged[3] = 0xff;
    await expect(run(damaged)).rejects.toThrow('not a valid tar archive: Invalid tar header');
    const sparse = Buffer.from(tar);
    sparse.write('S', 156, 'latin1');
    const sum = sparse.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
    sparse.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    await expect(run(sparse)).rejects.toThrow('cannot unpack "f": the entry is of a type no layer has');
    await expect(
      applyLayer(
        once(tar),
        { upperDir, lowerDirs: [] },
        { isRootless: false, signal: AbortSignal.abort(new Error('stop')) },
      ),
    ).rejects.toThrow('stop');
  });

  it('survives thousands of entries without bytes in one chunk', async () => {
    const entries = Array.from({ length: 5000 }, (_, n) => ({ name: `e${n}` }));
    await apply(entries);
    expect(paths([upperDir])).toHaveLength(5000);
  });

  it('unpacks an archive below a directory with another owner and keeps .wh. names', async () => {
    const writer = new UpperWriter({ upperDir, lowerDirs: [], isRootless: false });
    writer.ensureDir('/opt/app', { mode: 0o755, uid: 0, gid: 0 });
    const tar = tarOf([
      { name: 'bin/tool', text: 'x' },
      { name: '.wh.odd' },
      { name: 'h', type: 'link', linkName: 'bin/tool' },
    ]);
    await extractArchive(once(tar), writer, { isRootless: false, path: '/opt/app', owner: { uid: 7, gid: 8 } });
    writer.finish();
    expect(paths([upperDir])).toEqual([
      '/opt',
      '/opt/app',
      '/opt/app/.wh.odd',
      '/opt/app/bin',
      '/opt/app/bin/tool',
      '/opt/app/h',
    ]);
    expect(lstatSync(join(upperDir, 'opt/app/h'))).toMatchObject({ uid: 7, gid: 8, nlink: 2 });
  });

  it('takes the directory an archive is unpacked into as the root of all links', async () => {
    const lower = newDir();
    mkdirSync(join(lower, 'opt/app'), { recursive: true });
    symlinkSync('/data', join(lower, 'opt/app/old'));
    const writer = new UpperWriter({ upperDir, lowerDirs: [lower], isRootless: false });
    const tar = tarOf([
      { name: 'up', type: 'symlink', linkName: '../..' },
      { name: 'up/etc/one', text: '1' },
      { name: 'abs', type: 'symlink', linkName: '/up/lib' },
      { name: 'abs/two', text: '2' },
      { name: 'old/three', text: '3' },
      { name: 'same', type: 'link', linkName: 'abs/two' },
      { name: 'up/' },
      { name: 'up/four', text: '4' },
      { name: 'abs', type: 'symlink', linkName: 'up' },
      { name: 'abs/five', text: '5' },
    ]);
    await extractArchive(once(tar), writer, { isRootless: false, path: '/opt/app' });
    writer.finish();
    expect(paths([upperDir])).toEqual(
      [
        '',
        '/abs',
        '/data',
        '/data/three',
        '/etc',
        '/etc/one',
        '/lib',
        '/lib/two',
        '/same',
        '/up',
        '/up/five',
        '/up/four',
      ]
        .map((path) => `/opt/app${path}`)
        .toSpliced(0, 0, '/opt'),
    );
  });

  it('refuses links of an archive that lead in a circle', async () => {
    const writer = new UpperWriter({ upperDir, lowerDirs: [], isRootless: false });
    const tar = tarOf([
      { name: 'a', type: 'symlink', linkName: 'b' },
      { name: 'b', type: 'symlink', linkName: 'a' },
      { name: 'a/f', text: 'x' },
    ]);
    mkdirSync(join(upperDir, 'opt'));
    await expect(extractArchive(once(tar), writer, { isRootless: false, path: '/opt' })).rejects.toMatchObject({
      code: 'TSB_PATH_LINK_LOOP',
      message: 'too many symbolic links while resolving "a"',
    });
  });

  it('works as the root of a user namespace, leaving devices out', async (test) => {
    if (!isReachable) return test.skip('an ordinary user cannot reach node or the sources');
    const dir = newDir();
    writeFileSync(
      join(dir, 'layer.tar'),
      tarOf([
        { name: 'd/', uid: 33, gid: 44 },
        { name: 'd/f', text: 'x', mode: 0o4755, uid: 1000, gid: 1000, xattrs: [['security.capability', CAPABILITY]] },
        { name: 'null', type: 'char', rdev: { major: 1, minor: 3 } },
        { name: 'd/.wh..wh..opq' },
        { name: '.wh.low' },
      ]),
    );
    mkdirSync(join(dir, 'upper'));
    mkdirSync(join(dir, 'lower/d'), { recursive: true });
    writeFileSync(join(dir, 'lower/low'), '');
    spawnSync('chown', ['-R', '100000:100000', dir]);
    chmodSync(base, 0o755);
    const script = fileURLToPath(new URL('./apply-rootless.ts', import.meta.url));
    const child = await inUserNamespace([process.execPath, script, dir]);
    expect(child.stderr).toBe('');
    const result = JSON.parse(child.stdout) as ApplyResult & { again: string };
    expect(result.warnings).toEqual(['left out the device "null": only root can make one']);
    expect(lstatSync(join(dir, 'upper/d/f'))).toMatchObject({ uid: 101_000, gid: 101_000 });
    expect(lstatSync(join(dir, 'upper/d/f')).mode & 0o7777).toBe(0o4755);
    expect(lstatSync(join(dir, 'upper/low')).isCharacterDevice()).toBe(true);
    expect(getXattr(join(dir, 'upper/d'), 'user.overlay.opaque')).toEqual(Buffer.from('y'));
    expect(result.again).toContain('SCHILY.xattr.security.capability');
  });
});
