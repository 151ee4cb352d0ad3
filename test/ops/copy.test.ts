import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, linkSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import type { Result } from '../../solver/op-runner.ts';
import { setXattr } from '../../src/sys/libc.ts';
import { CONTEXT, COPY, CopyRoom, SCRATCH } from './copy-room.ts';

// Owners, devices and overlay marks need root; rootless builds run this code as root of a user namespace.
describeNeeding(['root'], 'COPY', () => {
  let room: CopyRoom;
  beforeEach(() => {
    room = new CopyRoom();
  });
  afterEach(() => room.close());

  it('gives build context files to root and keeps their modes', async () => {
    room.write({ foo: 'data', 'bin/': '' });
    chmodSync(join(room.context, 'foo'), 0o4751);
    execFileSync('chown', ['7:8', join(room.context, 'foo')]);
    chmodSync(join(room.context, 'foo'), 0o4751);
    const result = await room.copy(SCRATCH, '/foo', '/foo');
    expect(room.listing(result)).toEqual(['/foo file 4751 0:0 data']);
  });

  it('copies the contents of a directory, not the directory', async () => {
    room.write({ 'dir/a': '1', 'dir/sub/b': '2' });
    const result = await room.copy(SCRATCH, '/dir', '/dst/');
    expect(room.listing(result)).toEqual([
      '/dst dir 0755 0:0',
      '/dst/a file 0644 0:0 1',
      '/dst/sub dir 0755 0:0',
      '/dst/sub/b file 0644 0:0 2',
    ]);
  });

  it('takes a destination with a slash at its end as a directory and one without as the new name', async () => {
    room.write({ foo: 'x' });
    expect(room.listing(await room.copy(SCRATCH, '/foo', '/d/'))).toEqual([
      '/d dir 0755 0:0',
      '/d/foo file 0644 0:0 x',
    ]);
    expect(room.listing(await room.copy(SCRATCH, '/foo', '/d'))).toEqual(['/d file 0644 0:0 x']);
  });

  it('copies a file into an existing directory', async () => {
    room.write({ foo: 'x', 'd/k': 'k' });
    const base = await room.copy(SCRATCH, '/d', '/d');
    expect(room.text(await room.copy(base, '/foo', '/d'), '/d/foo')).toBe('x');
  });

  it('matches wildcards as Go does and copies each match under its own name', async () => {
    room.write({ 'a1.txt': '1', 'a2.txt': '2', 'b.txt': '3', 'x/a3.txt': '4' });
    const names = async (src: string): Promise<readonly string[]> =>
      room
        .view(await room.copy(SCRATCH, src, '/w/'))
        .list('/w')
        .map(({ path }) => path);
    expect(await names('/a*.txt')).toEqual(['/w/a1.txt', '/w/a2.txt']);
    expect(await names('/a?.txt')).toEqual(['/w/a1.txt', '/w/a2.txt']);
    expect(await names('/[b-c].txt')).toEqual(['/w/b.txt']);
    expect(await names('/[^a]*.txt')).toEqual(['/w/b.txt']);
    expect(await names('/*/a*.txt')).toEqual(['/w/a3.txt']);
    expect(await names('/\\b.txt*')).toEqual(['/w/b.txt']);
  });

  it('makes nothing of a wildcard without a match', async () => {
    room.write({ foo: '' });
    expect(room.listing(await room.copy(SCRATCH, '/nosuch*', '/dst/'))).toEqual([]);
  });

  it('refuses a pattern that Go refuses', async () => {
    room.write({ foo: '' });
    await expect(room.copy(SCRATCH, '/[a-', '/dst/')).rejects.toMatchObject({
      code: 'TSB_DOCKERFILE_PATTERN',
      message: 'syntax error in pattern',
    });
  });

  it('says which source is not there', async () => {
    await expect(room.copy(SCRATCH, '/nosuch', '/dst/')).rejects.toMatchObject({
      code: 'TSB_COPY_SOURCE_NOT_FOUND',
      message: '"/nosuch": not found',
    });
  });

  it('stops .. at the root of the context', async () => {
    room.write({ foo: 'x' });
    expect(room.text(await room.copy(SCRATCH, '/../../foo', '/f'), '/f')).toBe('x');
  });

  it('follows a source link itself and keeps links below a directory', async () => {
    room.write({ 'dir/a': 'x', 'dir/l': '-> a', 'dir/gone': '-> nosuch', ld: '-> dir' });
    expect(room.listing(await room.copy(SCRATCH, '/dir/l', '/plain'))).toEqual(['/plain file 0644 0:0 x']);
    expect(room.listing(await room.copy(SCRATCH, '/ld', '/d'))).toEqual([
      '/d dir 0755 0:0',
      '/d/a file 0644 0:0 x',
      '/d/gone symlink 0777 0:0 nosuch',
      '/d/l symlink 0777 0:0 a',
    ]);
    expect(room.text(await room.copy(SCRATCH, '/dir/l', '/into/'), '/into/l')).toBe('x');
  });

  it('never follows a link out of the context', async () => {
    writeFileSync(join(room.base, 'secret'), 'host');
    room.write({ up: '-> ../secret', abs: `-> ${room.base}/secret` });
    await expect(room.copy(SCRATCH, '/up', '/x')).rejects.toThrow('"/up": not found');
    await expect(room.copy(SCRATCH, '/abs', '/x')).rejects.toThrow('"/abs": not found');
  });

  it('follows links of the destination inside the root, also dangling ones', async () => {
    room.write({ foo: 'x', 'links/lnk': '-> /t', 'links/up': '-> ../../../t' });
    const base = await room.copy(SCRATCH, '/links', '/');
    expect(room.text(await room.copy(base, '/foo', '/lnk/viasym'), '/t/viasym')).toBe('x');
    expect(room.text(await room.copy(base, '/foo', '/up/viasym'), '/t/viasym')).toBe('x');
    expect(room.text(await room.copy(base, '/foo', '/lnk'), '/t')).toBe('x');
  });

  it('makes missing parents 0755 root, and with --chown and --chmod like the copy', async () => {
    room.write({ foo: 'x' });
    expect(room.listing(await room.copy(SCRATCH, '/foo', '/p/q/f'))).toEqual([
      '/p dir 0755 0:0',
      '/p/q dir 0755 0:0',
      '/p/q/f file 0644 0:0 x',
    ]);
    const owner = { user: { id: 7 }, group: { id: 8 } };
    expect(room.listing(await room.copy(SCRATCH, '/foo', '/np1/np2/f', { mode: 0o640, owner }))).toEqual([
      '/np1 dir 0640 7:8',
      '/np1/np2 dir 0640 7:8',
      '/np1/np2/f file 0640 7:8 x',
    ]);
  });

  it('keeps mode and owner of an existing destination but gives it the time of the source', async () => {
    room.write({ 'b/': '', 'b/d/k': '', 's/f': 'x' });
    const base = await room.copy(SCRATCH, '/b', '/', { mode: 0o700, owner: { user: { id: 5 }, group: { id: 6 } } });
    utimesSync(join(room.context, 's'), 1e9, 1e9);
    const result = await room.copy(base, '/s', '/d');
    expect(room.listing(result)[0]).toBe('/d dir 0700 5:6');
    expect(room.mtimeNs(result, '/d')).toBe(1_000_000_000_000_000_000n);
  });

  it('makes a new destination like the directories above it, whatever the source directory is', async () => {
    room.write({ 'd/sub/': '', 'd/f': 'x' });
    chmodSync(join(room.context, 'd'), 0o2770);
    chmodSync(join(room.context, 'd/sub'), 0o2770);
    expect(room.listing(await room.copy(SCRATCH, '/d', '/n'))).toEqual([
      '/n dir 0755 0:0',
      '/n/f file 0644 0:0 x',
      '/n/sub dir 2770 0:0',
    ]);
    const owner = { user: { id: 7 }, group: { id: 8 } };
    const owned = await room.copy(SCRATCH, '/d', '/n', { owner });
    expect(room.listing(owned)[0]).toBe('/n dir 0755 7:8');
    const taken = await room.copy(SCRATCH, '/n', '/m', { from: owned });
    expect(room.listing(taken)).toEqual(['/m dir 0755 0:0', '/m/f file 0644 7:8 x', '/m/sub dir 2770 7:8']);
  });

  it('gives directories below the destination mode, owner and time of the source', async () => {
    room.write({ 'b/d/sub/k': '', 's/sub/f': 'x' });
    const base = await room.copy(SCRATCH, '/b', '/', { mode: 0o700, owner: { user: { id: 5 } } });
    chmodSync(join(room.context, 's/sub'), 0o711);
    utimesSync(join(room.context, 's/sub'), 1e9, 1e9);
    const result = await room.copy(base, '/s', '/d');
    expect(room.listing(result).slice(0, 2)).toEqual(['/d dir 0700 5:5', '/d/sub dir 0711 0:0']);
    expect(room.mtimeNs(result, '/d/sub')).toBe(1_000_000_000_000_000_000n);
  });

  it('keeps times to the nanosecond', async () => {
    room.write({ foo: 'x', 'd/g': 'y' });
    execFileSync('touch', [
      '-d',
      '2001-02-03T04:05:06.123456789Z',
      join(room.context, 'foo'),
      join(room.context, 'd/g'),
    ]);
    expect((await room.mtimeNs(await room.copy(SCRATCH, '/foo', '/f'), '/f')) % 1_000_000_000n).toBe(123456789n);
    expect((await room.mtimeNs(await room.copy(SCRATCH, '/d', '/d'), '/d/g')) % 1_000_000_000n).toBe(123456789n);
  });

  it('refuses a directory over a file in BuildKit’s words', async () => {
    room.write({ f: '', 'd/f': '', 'n/a/x': '', 'm/a': '' });
    const base = await room.copy(SCRATCH, '/f', '/x');
    await expect(room.copy(base, '/d', '/x')).rejects.toMatchObject({
      code: 'TSB_COPY_NOT_A_DIRECTORY',
      message: 'cannot copy to non-directory: /x',
    });
    const nested = await room.copy(SCRATCH, '/m', '/dd');
    await expect(room.copy(nested, '/n', '/dd')).rejects.toThrow('cannot copy to non-directory: /dd/a');
  });

  it('refuses a file below a directory over a directory in BuildKit’s words', async () => {
    room.write({ 'n/a/x': '', 'm/a': '' });
    const base = await room.copy(SCRATCH, '/n', '/dd');
    await expect(room.copy(base, '/m', '/dd')).rejects.toMatchObject({
      code: 'TSB_COPY_IS_A_DIRECTORY',
      message: 'cannot replace to directory /dd/a with file',
    });
  });

  it('refuses a destination below a file', async () => {
    room.write({ f: '' });
    const base = await room.copy(SCRATCH, '/f', '/x');
    await expect(room.copy(base, '/f', '/x/y')).rejects.toThrow('mkdir /x: not a directory');
  });

  it('replaces whatever is in the way when told to, and still merges directories', async () => {
    room.write({ 'n/a/x': '1', 'm/a': 'file', 'k/a/y': '2', 'l/sl': '-> /dd', foo: 'f' });
    const replace = { alwaysReplaceExistingDestPaths: true };
    const base = await room.copy(SCRATCH, '/n', '/dd');
    expect(room.text(await room.copy(base, '/m', '/dd', replace), '/dd/a')).toBe('file');
    const merged = await room.copy(base, '/k', '/dd', replace);
    expect(room.text(merged, '/dd/a/x')).toBe('1');
    expect(room.text(merged, '/dd/a/y')).toBe('2');
  });

  it('replaces a link that is a nested target instead of writing through it', async () => {
    room.write({ 'b/d/f': '-> /etc-passwd', 'b/etc-passwd': 'keep', 's/f': 'new' });
    const base = await room.copy(SCRATCH, '/b', '/');
    const result = await room.copy(base, '/s', '/d');
    expect(room.text(result, '/d/f')).toBe('new');
    expect(room.text(result, '/etc-passwd')).toBe('keep');
  });

  it('looks names up in the tree it is told, takes the primary group, and gives unknown names to root', async () => {
    room.write({
      'b/etc/passwd': 'root:x:0:0::/:\napp:x:1000:1001::/:\n',
      'b/etc/group': 'root:x:0:\nstaff:x:50:app\n',
      foo: '',
    });
    const base = await room.copy(SCRATCH, '/b', '/');
    const owned = async (owner: NonNullable<Parameters<CopyRoom['copy']>[3]>['owner']): Promise<string> => {
      const result = await room.copy(base, '/foo', '/f', owner && { owner });
      const node = room.view(result).lookup('/f');
      return `${node?.uid}:${node?.gid}`;
    };
    const app = { name: 'app', input: 0 };
    expect(await owned({ user: app })).toBe('1000:1001');
    expect(await owned({ user: app, group: { name: 'staff', input: 0 } })).toBe('1000:50');
    expect(await owned({ user: app, group: { name: 'nosuch', input: 0 } })).toBe('1000:1001');
    expect(await owned({ user: { name: 'nosuch', input: 0 } })).toBe('0:0');
    expect(await owned({ user: { id: 1234 } })).toBe('1234:1234');
    expect(await owned({ user: { id: 1234 }, group: { id: 5 } })).toBe('1234:5');
  });

  it('changes modes in octal and symbolic form', async () => {
    room.write({ 'd/f': 'x', 'd/sub/': '' });
    chmodSync(join(room.context, 'd/f'), 0o640);
    const modes = async (options: { mode?: number; modeStr?: string }): Promise<readonly string[]> =>
      room.listing(await room.copy(SCRATCH, '/d', '/d', options)).map((line) => line.split(' ')[2] ?? '');
    expect(await modes({ mode: 0o600 })).toEqual(['0600', '0600', '0600']);
    expect(await modes({ mode: 0o4755 })).toEqual(['0755', '4755', '4755']);
    expect(await modes({ modeStr: 'u+x' })).toEqual(['0755', '0740', '0755']);
    expect(await modes({ modeStr: 'u=rwX,go=rX' })).toEqual(['0755', '0644', '0755']);
    expect(await modes({ modeStr: 'go-rwx' })).toEqual(['0755', '0600', '0700']);
    expect(await modes({ modeStr: 'a=r,u+w' })).toEqual(['0755', '0644', '0644']);
    expect(await modes({ modeStr: 'g=u' })).toEqual(['0755', '0660', '0775']);
    expect(await modes({ modeStr: '+t' })).toEqual(['0755', '1640', '1755']);
    await expect(room.copy(SCRATCH, '/d', '/d', { modeStr: 'u!x' })).rejects.toMatchObject({
      code: 'TSB_COPY_CHMOD_INVALID',
    });
  });

  it('copies extended attributes', async () => {
    room.write({ foo: 'x' });
    setXattr(join(room.context, 'foo'), 'user.a', Buffer.from([0, 255]));
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    setXattr(join(room.context, 'foo'), 'security.capability', capability);
    const view = room.view(await room.copy(SCRATCH, '/foo', '/f', { owner: { user: { id: 3 } } }));
    const node = view.lookup('/f');
    expect(node && view.xattrs(node)).toEqual([
      ['security.capability', capability],
      ['user.a', Buffer.from([0, 255])],
    ]);
  });

  it('keeps hard links within one copy', async () => {
    room.write({ 'd/a': 'x', 'd/c': 'x' });
    linkSync(join(room.context, 'd/a'), join(room.context, 'd/b'));
    const view = room.view(await room.copy(SCRATCH, '/d', '/d'));
    expect(view.lookup('/d/a')?.ino).toBe(view.lookup('/d/b')?.ino);
    expect(view.lookup('/d/a')?.ino).not.toBe(view.lookup('/d/c')?.ino);
  });

  it('makes an empty file of a socket in the build context', async () => {
    room.write({ 'd/a': 'x' });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(room.context, 'd/sock'), resolve));
    const listing = room.listing(await room.copy(SCRATCH, '/d', '/d'));
    server.close();
    expect(listing[2]).toMatch(/^\/d\/sock file 0\d\d\d 0:0$/);
  });

  it('copies fifos and devices', async () => {
    room.write({ 'd/': '' });
    execFileSync('mkfifo', [join(room.context, 'd/p')]);
    execFileSync('mknod', [join(room.context, 'd/null'), 'c', '1', '3']);
    const view = room.view(await room.copy(SCRATCH, '/d', '/d'));
    expect(view.lookup('/d/p')?.type).toBe('fifo');
    expect(view.lookup('/d/null')).toMatchObject({ type: 'char', rdev: { major: 1, minor: 3 } });
  });

  it('keeps the owners of another stage, but for the destination it makes', async () => {
    room.write({ 'd/f': 'x' });
    const stage = await room.copy(SCRATCH, '/d', '/d', { owner: { user: { id: 7 }, group: { id: 8 } } });
    expect(room.listing(await room.copy(SCRATCH, '/d', '/e', { from: stage }))).toEqual([
      '/e dir 0755 0:0',
      '/e/f file 0644 7:8 x',
    ]);
  });

  it('copies nothing from an empty stage', async () => {
    expect(room.listing(await room.copy(SCRATCH, '/', '/d', { from: SCRATCH }))).toEqual(['/d dir 0755 0:0']);
    await expect(room.copy(SCRATCH, '/x', '/d', { from: SCRATCH })).rejects.toThrow('"/x": not found');
  });

  it('leaves out what --exclude names, relative to the source', async () => {
    room.write({ 'd/a.txt': '', 'd/b.md': '', 'd/sub/c.txt': '', 'd/sub/d.md': '' });
    const listing = async (excludePatterns: readonly string[]): Promise<readonly string[]> =>
      room.listing(await room.copy(SCRATCH, '/d', '/', { excludePatterns })).map((line) => line.split(' ')[0] ?? '');
    expect(await listing(['*.txt'])).toEqual(['/b.md', '/sub', '/sub/c.txt', '/sub/d.md']);
    expect(await listing(['**/*.txt'])).toEqual(['/b.md', '/sub', '/sub/d.md']);
    expect(await listing(['sub'])).toEqual(['/a.txt', '/b.md']);
    expect(await listing(['sub', '!sub/d.md'])).toEqual(['/a.txt', '/b.md', '/sub', '/sub/d.md']);
  });

  it('keeps the paths of --parents and makes only the directories that something is copied into', async () => {
    room.write({ 'p/q/one.txt': '1', 'p/two.txt': '2', 'p/three.md': '3', 'z/': '' });
    const parents = { followSymlink: true, allowWildcard: true, dirCopyContents: true };
    const result = await room.copy(SCRATCH, '/', '/dst/', { ...parents, includePatterns: ['p/*.txt'] });
    expect(room.listing(result)).toEqual([
      '/dst dir 0755 0:0',
      '/dst/p dir 0755 0:0',
      '/dst/p/two.txt file 0644 0:0 2',
    ]);
    const deep = await room.copy(SCRATCH, '/', '/dst/', { ...parents, includePatterns: ['p/**/one.txt'] });
    expect(room.listing(deep).at(-1)).toBe('/dst/p/q/one.txt file 0644 0:0 1');
    await expect(
      room.copy(SCRATCH, '/', '/dst/', { includePatterns: ['p/nosuch'], requiredPaths: ['/p/nosuch'] }),
    ).rejects.toThrow('"/p/nosuch": not found');
  });

  it('runs several sources in order, the last one winning', async () => {
    room.write({ a: '1', b: '2' });
    const [result] = await room.run(
      [
        { ...COPY, src: '/a', dest: '/x', output: -1 },
        { ...COPY, src: '/b', dest: '/x', input: 2, output: 0 },
      ],
      [SCRATCH, CONTEXT],
    );
    expect(room.listing(result as Result)).toEqual(['/x file 0644 0:0 2']);
  });

  it('unpacks archives that ADD names by their content, and only those', async () => {
    room.write({ 'in/f': 'x', 'in/sub/g': 'y', 'plain.tar': 'no archive' });
    chmodSync(join(room.context, 'in/f'), 0o600);
    const tar = (...options: string[]): void => {
      execFileSync('tar', ['--owner=11', '--group=12', '-C', join(room.context, 'in'), ...options, '.']);
    };
    tar('-czf', join(room.context, 'zipped.bin'));
    const result = await room.copy(SCRATCH, '/*.*', '/out/', { attemptUnpack: true });
    expect(room.listing(result)).toEqual([
      '/out dir 0755 0:0',
      '/out/f file 0600 11:12 x',
      '/out/plain.tar file 0644 0:0 no archive',
      '/out/sub dir 0755 11:12',
      '/out/sub/g file 0644 11:12 y',
    ]);
    const owned = await room.copy(SCRATCH, '/zipped.bin', '/out/', {
      attemptUnpack: true,
      owner: { user: { id: 100 }, group: { id: 200 } },
    });
    expect(room.listing(owned).map((line) => line.split(' ')[3])).toEqual(['100:200', '100:200', '100:200', '100:200']);
  });

  it('leaves no snapshot behind when it fails', async () => {
    const before = room.store.db.all('SELECT * FROM actives').length;
    await expect(room.copy(SCRATCH, '/nosuch', '/x')).rejects.toThrow();
    expect(room.store.db.all('SELECT * FROM actives').length).toBe(before);
  });

  it('makes a directory with its parents for the user and leaves an existing one alone', async () => {
    const mkdir = { action: 'mkdir', input: 0, secondaryInput: -1, output: 0, mode: 0o755, makeParents: true } as const;
    const owner = { user: { id: 9 } };
    const [first] = await room.run([{ ...mkdir, path: '/w/a', owner }], [SCRATCH]);
    expect(room.listing(first as Result)).toEqual(['/w dir 0755 9:9', '/w/a dir 0755 9:9']);
    const [second] = await room.run([{ ...mkdir, path: '/w/a/b' }], [first as Result]);
    expect(room.listing(second as Result)).toEqual(['/w dir 0755 9:9', '/w/a dir 0755 9:9', '/w/a/b dir 0755 0:0']);
    room.write({ f: '' });
    const file = await room.copy(SCRATCH, '/f', '/w');
    await expect(room.run([{ ...mkdir, path: '/w/a' }], [file])).rejects.toThrow('mkdir /w/a: not a directory');
  });

  it('copies a heredoc that an action before has made', async () => {
    const [result] = await room.run(
      [
        {
          action: 'mkfile',
          input: -1,
          secondaryInput: -1,
          output: -1,
          path: '/E',
          mode: 0o644,
          data: Buffer.from('hi\n'),
        },
        { ...COPY, input: 0, secondaryInput: 1, src: '/E', dest: '/hd/x', mode: 0o600 },
      ],
      [SCRATCH],
    );
    expect(room.listing(result as Result)).toEqual(['/hd dir 0600 0:0', '/hd/x file 0600 0:0 hi']);
  });

  it('removes paths', async () => {
    room.write({ a1: '', a2: '', 'd/x': '' });
    const base = await room.copy(SCRATCH, '/', '/');
    const rm = { action: 'rm', input: 0, secondaryInput: -1, output: 0, allowNotFound: false } as const;
    const [result] = await room.run([{ ...rm, path: '/a*', allowWildcard: true }], [base]);
    expect(room.listing(result as Result).map((line) => line.split(' ')[0])).toEqual(['/d', '/d/x']);
    await expect(room.run([{ ...rm, path: '/nosuch', allowWildcard: false }], [base])).rejects.toThrow('not found');
  });

  it('sees the context without what the ignore file names', async () => {
    room.write({ keep: '1', 'node_modules/x': '2', 'node_modules/y': '3', l: '-> node_modules/x' });
    room.openContext(['node_modules', '!node_modules/y', 'l']);
    const result = await room.copy(SCRATCH, '/', '/');
    expect(room.listing(result).map((line) => line.split(' ')[0])).toEqual([
      '/keep',
      '/node_modules',
      '/node_modules/y',
    ]);
    await expect(room.copy(SCRATCH, '/node_modules/x', '/')).rejects.toThrow('"/node_modules/x": not found');
    await expect(room.copy(SCRATCH, '/l', '/')).rejects.toThrow('"/l": not found');
  });
});

describe('the build context', () => {
  it('says that its directory is missing or none', async () => {
    const { ContextTree } = await import('../../src/ops/build-context.ts');
    expect(() => new ContextTree('/nosuch/dir')).toThrow('build context "/nosuch/dir" does not exist');
    expect(() => new ContextTree('/etc/passwd')).toThrow('build context "/etc/passwd" is not a directory');
  });
});

/** Runs a module as root of a user namespace where so many ids are mapped; what it prints. */
async function runMapped(ids: number, script: string): Promise<string> {
  const node = [process.execPath, '--input-type=module', '-e', script];
  const child = spawn('unshare', ['--user', 'sh', '-c', 'echo; read go; exec "$@"', 'sh', ...node]);
  await once(child.stdout, 'data');
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${map}`, `0 0 ${ids}`);
  child.stdin.end('go\n');
  return await text(child.stdout);
}

describeNeeding(['root'], 'a copied file', () => {
  let room: CopyRoom;
  let script: string;
  beforeEach(() => {
    room = new CopyRoom();
    room.write({ foo: '' });
    const module = (name: string): string => JSON.stringify(new URL(`../../src/${name}.ts`, import.meta.url));
    const out = JSON.stringify(join(room.base, 'out'));
    script = `
      const { lstatSync } = await import('node:fs');
      const { ContextTree } = await import(${module('ops/build-context')});
      const { FileWriter } = await import(${module('ops/file-writer')});
      const { toFileNode } = await import(${module('snapshot/file-node')});
      const tree = new ContextTree(${JSON.stringify(room.context)});
      const attributes = { mode: 0o644, uid: 4242, gid: 4343 };
      try {
        new FileWriter().writeFile(tree, tree.lookup('/foo'), ${out}, attributes).next();
        const { uid, gid } = toFileNode('/out', ${out}, lstatSync(${out}));
        console.log(uid + ':' + gid);
      } catch (error) {
        console.log(error.code + ' ' + error.message);
      }`;
  });
  afterEach(() => room.close());

  it('cannot be given to ids that the user namespace does not map', async () => {
    expect(await runMapped(2, script)).toBe(
      'TSB_COPY_OWNER_UNMAPPED cannot give "/foo" to 4242:4343: the ids are not mapped\n',
    );
  });

  it('has its owner written down where a single id is mapped', async () => {
    expect(await runMapped(1, script)).toBe('4242:4343\n');
  });
});
