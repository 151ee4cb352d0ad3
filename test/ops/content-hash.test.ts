import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { CONTENT_OUTPUT, rootKey } from '../../solver/cache-key.ts';
import { type Digest, digestOf } from '../../solver/digest.ts';
import type { ContentSelector } from '../../solver/op-runner.ts';
import { contentDigestOf, selectedDigest } from '../../src/ops/content-hash.ts';
import { SourceDigests } from '../../src/ops/source-digests.ts';
import { FileDigester } from '../../src/ops/source-file.ts';
import { atOnce } from '../../src/sys/turns.ts';
import { RootView } from '../../src/snapshot/root-view.ts';
import { setXattr } from '../../src/sys/libc.ts';
import { CopyRoom } from './copy-room.ts';

const DATA0 = 'sha256:cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b';
const DATA1 = 'sha256:c2b5e234f5f38fc5864da7def04782f82501a40d46192e4207d5b3f0c3c4732b';
const D0 = 'sha256:d47454417d2c554067fbefe5f5719edc49f3cfe969c36b62e34a187a4da0cc9a';
const NOTHING = digestOf('');

let room: CopyRoom;
beforeEach(() => {
  room = new CopyRoom();
});
afterEach(() => room.close());

/** As a snapshot sees the directory: owners as on disk, a root with a header. */
function snapshotDigest(path: string, options: Partial<ContentSelector> = {}): Digest {
  const tree = new RootView([room.context]);
  const digests = new SourceDigests(tree, { digester: new FileDigester(), now: Date.now, hasRootHeader: true });
  return atOnce(selectedDigest(tree, { path, wildcard: false, followLinks: false, ...options }, digests.inSlices));
}

function contextDigest(path: string, options: Partial<ContentSelector> = {}, ignore: readonly string[] = []): Digest {
  const digests = room.openContext(ignore);
  return atOnce(
    selectedDigest(digests.tree, { path, wildcard: false, followLinks: true, ...options }, digests.inSlices),
  );
}

// The values of cache/contenthash/checksum_test.go in moby/buildkit.
describeNeeding(['root'], 'the content checksum', () => {
  it('of files and directories is BuildKit’s', () => {
    room.write({ foo: 'data0', bar: 'data1', 'd0/abc': 'data0', 'd0/def': '-> abc', 'd0/ghi': '-> nosuchfile' });
    expect(snapshotDigest('/foo')).toBe(DATA0);
    expect(snapshotDigest('/bar')).toBe(DATA1);
    expect(snapshotDigest('/d0/def', { followLinks: true })).toBe(DATA0);
    expect(snapshotDigest('/d0')).toBe(D0);
    expect(snapshotDigest('/')).toBe('sha256:427c9cf9ae98c0f81fb57a3076b965c7c149b6b0a85625ad4e884236649a42c6');
    expect(() => snapshotDigest('/d0/ghi', { followLinks: true })).toThrow('"/d0/ghi": not found');
    unlinkSync(join(room.context, 'd0/ghi'));
    expect(snapshotDigest('/d0')).toBe('sha256:555ffa3028630d97ba37832b749eda85ab676fd64ffb629fbf0f4ec8c1e3bff1');
  });

  it('orders entries by bytes', () => {
    room.write({ 'd0/foo/bar': 'data0', 'd0/foo-subdir/': '', 'd0/foo.subdir': 'data1' });
    expect(snapshotDigest('/d0')).toBe('sha256:14276c302c940a80f82ca5477bf766c98a24702d6a9948ee71bb277cdad3ae05');
  });

  it('of wildcards is BuildKit’s', () => {
    room.write({
      bar: 'data1',
      foo: 'data0',
      fox: 'data2',
      'x/d0/abc': 'data0',
      'x/d0/def': '-> abc',
      'x/d0/ghi': '-> nosuchfile',
      y1: '-> foo',
      y2: '-> fox',
    });
    const wildcard = { wildcard: true };
    const follow = { wildcard: true, followLinks: true };
    expect(snapshotDigest('/f*o', wildcard)).toBe(digestOf(`\0foo${DATA0}`));
    expect(snapshotDigest('/f*', wildcard)).toBe(
      'sha256:0b6731924f0a32a812bf8a729202e55e54ded331f9e4ff2397f681e43694e086',
    );
    expect(snapshotDigest('/x/d?', wildcard)).toBe(
      'sha256:6b612ad5c13159112ae26357ef7bd34df29916941ba40ec2ce38dfb70c6c60c3',
    );
    expect(snapshotDigest('/x/d?/def', follow)).toBe(DATA0);
    expect(snapshotDigest('/y*', follow)).toBe(
      'sha256:982153600b9653a1decb0f961e09e2bc1be335cfcaac9b39dbd1120b65fdf92c',
    );
    expect(snapshotDigest('/z*', wildcard)).toBe(NOTHING);
  });

  it('follows only the source itself', () => {
    room.write({ target: 'data0', sym: '-> target', 'foo/ghi': '-> target' });
    const link = 'sha256:a2ba571981f48ec34eb79c9a3ab091b6491e825c2f7e9914ea86e8e958be7fae';
    const folder = 'sha256:9b761577efcb1239cf4be971914c5d7404914dd32ff436401af1764dc5446b83';
    expect(snapshotDigest('/sym')).toBe(link);
    expect(snapshotDigest('/foo/ghi', { wildcard: true })).toBe(link);
    expect(() => snapshotDigest('/foo/ghi', { wildcard: true, followLinks: true })).toThrow('not found');
    expect(snapshotDigest('/foo', { followLinks: true })).toBe(folder);
    expect(snapshotDigest('/foo', { followLinks: true, excludePatterns: ['*.git'] })).toBe(folder);
    expect(snapshotDigest('/fo?', { followLinks: true, wildcard: true })).toBe(
      'sha256:2797e710c6d1a89ff2d91c834b828b1dc500f2982430a58241df8e146f4c4bb4',
    );
  });

  it('of include patterns is BuildKit’s', () => {
    room.write({ 'prefix/a/b/c/': '' });
    expect(snapshotDigest('/prefix/a', { includePatterns: ['**/foo/**'] })).toBe(NOTHING);
    room.write({ 'prefix/a/b/c/foo/bar': 'abc' });
    const doubleStar = 'sha256:aa7448215bbf5b837b35ce64467857d8b9747965573d14d4b31b370586370971';
    for (const wildcard of [false, true]) {
      expect(snapshotDigest('/prefix/a', { includePatterns: ['**/foo/**', '**/report'], wildcard })).toBe(doubleStar);
      expect(snapshotDigest('/prefix/a', { includePatterns: ['**/foo', '**/report'], wildcard })).toBe(doubleStar);
    }
  });

  it('counts only what include and exclude patterns leave', () => {
    room.write({ foo: 'data0', 'd0/abc': 'abc', 'd1/def': 'def', 'd2/': '' });
    const star = snapshotDigest('/', { includePatterns: ['d0/*'] });
    room.write({ 'd0/xyz': 'xyz', 'new': '' });
    expect(snapshotDigest('/', { includePatterns: ['d0/a*'] })).toBe(star);
    expect(snapshotDigest('/', { includePatterns: ['**/abc'] })).toBe(star);
    expect(snapshotDigest('/', { includePatterns: ['d0/*'] })).not.toBe(star);
    expect(snapshotDigest('/', { includePatterns: ['d0/*'], excludePatterns: ['d0/xyz'] })).toBe(star);
    expect(snapshotDigest('/', { includePatterns: ['d2/foo'] })).toBe(NOTHING);
    expect(snapshotDigest('/d2', { includePatterns: ['foo'] })).toBe(NOTHING);
  });

  it('resolves links in the path of a source', () => {
    room.write({ 'data/d0/d1/foo': 'abc', 'mnt/data': '-> ../data', 'data/s': '-> d0' });
    const plain = snapshotDigest('/data/d0', { includePatterns: ['**/foo'] });
    expect(plain).not.toBe(NOTHING);
    expect(snapshotDigest('/mnt/data/d0', { includePatterns: ['**/foo'] })).toBe(plain);
    const inner = snapshotDigest('/data/d0/d*', { includePatterns: ['**/foo'], wildcard: true });
    expect(snapshotDigest('/mnt/data/s/d*', { includePatterns: ['**/foo'], wildcard: true })).toBe(inner);
  });

  it('counts a hard link as the file it is', () => {
    room.write({ foo: 'data0' });
    linkSync(join(room.context, 'foo'), join(room.context, 'ln'));
    expect(snapshotDigest('/ln')).toBe(DATA0);
  });

  it('counts user attributes and capabilities, no other security or system attributes', () => {
    room.write({ foo: 'data0' });
    const path = join(room.context, 'foo');
    setXattr(path, 'security.evm-like', Buffer.from('x'));
    expect(snapshotDigest('/foo')).toBe(DATA0);
    setXattr(path, 'user.a', Buffer.from('x'));
    const withUser = snapshotDigest('/foo');
    expect(withUser).not.toBe(DATA0);
    setXattr(path, 'security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex'));
    expect(snapshotDigest('/foo')).not.toBe(withUser);
  });

  it('counts mode and bytes and never a time', () => {
    room.write({ foo: 'data0' });
    const path = join(room.context, 'foo');
    utimesSync(path, 1, 1);
    expect(snapshotDigest('/foo')).toBe(DATA0);
    chmodSync(path, 0o4644);
    expect(snapshotDigest('/foo')).not.toBe(DATA0);
    chmodSync(path, 0o644);
    writeFileSync(path, 'data2');
    expect(snapshotDigest('/foo')).not.toBe(DATA0);
  });

  it('reads files larger than its buffer', () => {
    const big = 'x'.repeat(700_001);
    room.write({ big });
    const header = `namemode420uid0gid0size700001typeflag0linknameunamegnamedevmajor0devminor0`;
    expect(snapshotDigest('/big')).toBe(digestOf(header + big));
  });

  it('of a context of which nothing is left has the header of a new directory', () => {
    room.write({ 'folder/file': 'data0' });
    const header = 'namemode493uid0gid0size0typeflag5linknameunamegnamedevmajor0devminor0';
    const empty = digestOf(`\0${digestOf(header)}`);
    expect(contextDigest('/', {}, ['**'])).toBe(empty);
    expect(contextDigest('/', {}, ['**', '!folder/none/file'])).toBe(empty);
    // As exported by BuildKit 0.25.
    const content = atOnce(contentDigestOf(room.openContext(['**']).tree, [], room.openContext(['**']).inSlices));
    expect(rootKey(content, CONTENT_OUTPUT)).toMatch(/^sha256:0b029890/);
  });

  it('has no header for the root of a build context', () => {
    room.write({ bar: 'data1' });
    expect(contextDigest('/')).toBe(digestOf(`\0${NOTHING}\0bar${DATA1}`));
    chmodSync(room.context, 0o700);
    expect(contextDigest('/')).toBe(digestOf(`\0${NOTHING}\0bar${DATA1}`));
  });

  it('does not count what the ignore file names', () => {
    room.write({ 'd0/abc': 'data0', 'd0/def': '-> abc', 'd0/ghi': '-> nosuchfile', 'd0/log': '' });
    expect(contextDigest('/d0', {}, ['**/log'])).toBe(D0);
  });
});

const vectors = new URL('../../../shared/corpora/cache-vectors/', import.meta.url).pathname;
const BUSYBOX_SIZE = 1982256;

describeNeeding([vectors], 'content keys of caches that BuildKit exported', () => {
  const records = existsSync(vectors)
    ? (JSON.parse(readFileSync(join(vectors, 'set2/records.json'), 'utf8')) as Record<string, Digest>)
    : {};

  /** The corpus as it was when it was measured: writable files 0644, directories 0755, and dir/l a link. */
  function layOut(): void {
    for (const name of ['foo', 'bar', 'dir/a', 'dir/sub/b', 'etc/passwd', 'etc/group', 'p/two.txt']) {
      const path = join(room.context, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, readFileSync(join(vectors, 'ctx', name)));
      chmodSync(path, 0o644);
    }
    symlinkSync('a', join(room.context, 'dir/l'));
  }

  function contentKey(...paths: readonly string[]): Digest {
    const digests = room.openContext();
    const selectors = paths.map((path) => ({ path, wildcard: path.includes('*'), followLinks: true }));
    return digestOf(`${atOnce(contentDigestOf(digests.tree, selectors, digests.inSlices))}@-1`);
  }

  it('are computed from the files', () => {
    layOut();
    expect(contentKey('/foo')).toBe(records['content foo']);
    expect(contentKey('/bar')).toBe(records['content bar']);
    expect(contentKey('/bar', '/foo')).toBe(records['content bar,foo (sorted)']);
    expect(contentKey('/dir')).toBe(records['content dir']);
    expect(contentKey('/etc')).toBe(records['content etc']);
    expect(contentKey('/fo*')).toBe(records['content fo*']);
    expect(contentKey('/dir/a')).toBe(records['content /d/a']);
  });

  it('of the heredoc and of busybox are computed from their bytes', async () => {
    room.write({ hd: 'hello /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' });
    expect(contentKey('/hd')).toBe(records['heredoc content']);
    const blobs = join(vectors, 'set2/cache/blobs/sha256');
    const { gunzipSync } = await import('node:zlib');
    const { readdirSync, statSync } = await import('node:fs');
    const layer = readdirSync(blobs).find((name) => statSync(join(blobs, name)).size > 500_000);
    const tar = gunzipSync(readFileSync(join(blobs, layer ?? '')));
    const start = tar.indexOf('\x7fELF');
    writeFileSync(join(room.context, 'busybox'), tar.subarray(start, start + BUSYBOX_SIZE));
    chmodSync(join(room.context, 'busybox'), 0o755);
    expect(contentKey('/busybox')).toBe(records['content busybox']);
  });
});
