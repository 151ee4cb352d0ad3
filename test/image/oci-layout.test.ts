import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestHex, parseDigest } from '../../solver/digest.ts';
import { OCILayout, parseLayoutReference } from '../../src/image/oci-layout.ts';
import { makeImage, makeIndex, tagged, tarOf, writeLayout } from '../registry/image-fixture.ts';
import { registryRig, rejection } from '../registry/registry-rig.ts';
import { thrown } from '../store/store-rig.ts';

const ZERO = parseDigest(`sha256:${'0'.repeat(64)}`);

describe('parseLayoutReference', () => {
  const rig = registryRig();

  it('takes directory, tag and digest apart', () => {
    expect(parseLayoutReference('oci-layout://dir', '/w')).toEqual({ directory: '/w/dir' });
    expect(parseLayoutReference('oci-layout:///a/b:1.2', '/w')).toEqual({ directory: '/a/b', tag: '1.2' });
    expect(parseLayoutReference(`oci-layout://../x:t@${ZERO}`, '/w')).toEqual({
      directory: '/x',
      tag: 't',
      digest: ZERO,
    });
  });

  it('takes a directory with a colon in its name as it is', async () => {
    const directory = join(rig.directory(), 'a:b');
    writeLayout(directory, [[await image('x'), {}]]);
    expect(parseLayoutReference(`oci-layout://${directory}`, '/')).toEqual({ directory });
    expect(parseLayoutReference(`oci-layout://${directory}:t`, '/')).toEqual({ directory, tag: 't' });
  });

  it('refuses bad ones', () => {
    expect(thrown(() => parseLayoutReference('oci-layout://', '/w')).message).toBe(
      '"oci-layout://" names no directory',
    );
    expect(thrown(() => parseLayoutReference('oci-layout://d@sha256:1', '/w'))).toEqual({
      code: 'TSB_LAYOUT_INVALID',
      message: '"oci-layout://d@sha256:1" has a bad digest "sha256:1"',
      hint: 'write it as oci-layout://directory, with :tag or @sha256:… when it holds several images',
    });
  });
});

describe('OCILayout', () => {
  const rig = registryRig();

  it('finds by tag, by digest, and the only or latest one by nothing', async () => {
    const [one, two] = [await image('1'), await image('2')];
    const several = writeLayout(rig.directory(), [
      [one, tagged('latest')],
      [two, tagged('registry.example/two:2')],
    ]);
    const layout = new OCILayout(several);
    expect(await digests(layout, {})).toEqual([one.root.digest]);
    expect(await digests(layout, { tag: '2' })).toEqual([two.root.digest]);
    expect(await digests(layout, { digest: two.root.digest })).toEqual([two.root.digest]);
    const single = new OCILayout(writeLayout(rig.directory(), [[two, tagged('other')]]));
    expect(await digests(single, {})).toEqual([two.root.digest]);
  });

  it('finds a digest within nested indexes', async () => {
    const inner = await image('inner');
    const index = makeIndex([[makeIndex([[inner, {}]]), {}]]);
    const layout = new OCILayout(writeLayout(rig.directory(), [[index, {}]]));
    expect(await digests(layout, { digest: inner.root.digest })).toEqual([inner.root.digest]);
  });

  it('says what it holds when a tag or digest is not there', async () => {
    const [one, two] = [await image('1'), await image('2')];
    const directory = writeLayout(rig.directory(), [
      [one, tagged('a')],
      [two, tagged('b')],
    ]);
    const layout = new OCILayout(directory);
    expect(await rejection(layout.find({ directory }))).toEqual({
      code: 'TSB_LAYOUT_NOT_FOUND',
      message: `latest: not found in OCI layout "${directory}"`,
      hint: 'it has the tags a, b',
    });
    expect(await rejection(layout.find({ directory, digest: ZERO }))).toEqual({
      code: 'TSB_LAYOUT_NOT_FOUND',
      message: `${ZERO}: not found in OCI layout "${directory}"`,
      hint: `it holds ${one.root.digest}, ${two.root.digest}`,
    });
  });

  it('names the directory that is none, or incomplete', async () => {
    const empty = rig.directory();
    expect(await rejection(new OCILayout(empty).find({ directory: empty }))).toEqual({
      code: 'TSB_LAYOUT_INVALID',
      message: `"${empty}" is no OCI layout: it has no index.json`,
      hint: 'name a directory with an OCI image layout; an archive must be unpacked first',
    });
    const missing = join(empty, 'none');
    expect((await rejection(new OCILayout(missing).find({ directory: missing }))).message).toBe(
      `"${missing}" is no OCI layout: there is no such directory`,
    );
    const file = join(empty, 'file');
    writeFileSync(file, '');
    expect((await rejection(new OCILayout(file).find({ directory: file }))).message).toBe(
      `"${file}" is no OCI layout: it is no directory`,
    );
    const endless = join(empty, 'endless');
    mkdirSync(endless);
    symlinkSync('/dev/null', join(endless, 'index.json'));
    expect((await rejection(new OCILayout(endless).find({ directory: endless }))).message).toBe(
      `"${endless}" is no OCI layout: its index.json cannot be read`,
    );
    const device = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: ZERO, size: 0 };
    mkdirSync(join(endless, 'blobs/sha256'), { recursive: true });
    symlinkSync('/dev/null', join(endless, 'blobs/sha256', digestHex(ZERO)));
    expect((await rejection(new OCILayout(endless).readManifest(device))).message).toBe(
      `OCI layout "${endless}" lacks blob ${ZERO}`,
    );
    const hollow = join(empty, 'hollow');
    mkdirSync(hollow);
    writeFileSync(join(hollow, 'index.json'), '{"schemaVersion":2,"manifests":[]}');
    expect((await rejection(new OCILayout(hollow).find({ directory: hollow }))).message).toBe(
      `OCI layout "${hollow}" holds no image`,
    );
    const fixture = await image('x');
    const directory = writeLayout(join(empty, 'short'), [[fixture, {}]]);
    writeFileSync(join(directory, 'blobs', 'sha256', digestHex(fixture.root.digest)), 'short');
    expect(await rejection(new OCILayout(directory).readManifest(fixture.root))).toEqual({
      code: 'TSB_LAYOUT_DAMAGED',
      message: `OCI layout "${directory}" has 5 bytes for blob ${fixture.root.digest} of ${fixture.root.size}`,
      hint: 'it is incomplete: write it anew',
    });
    const lost = { ...fixture.root, digest: ZERO };
    expect((await rejection(new OCILayout(directory).readManifest(lost))).message).toBe(
      `OCI layout "${directory}" lacks blob ${ZERO}`,
    );
  });

  async function digests(layout: OCILayout, reference: object): Promise<readonly string[]> {
    return (await layout.find({ directory: '', ...reference })).map(({ digest }) => digest);
  }
});

async function image(content: string): Promise<ReturnType<typeof makeImage>> {
  return makeImage({ layers: [await tarOf([{ name: 'f', content }])] });
}
