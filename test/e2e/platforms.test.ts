// Several platforms in one build: an index, a directory for each, and RUN for a foreign processor.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, it } from 'vitest';
import { describeNeeding, hasPrograms, REGISTRY } from '../needs.ts';
import { outputOf, rootCaller, writeContext } from './harness.ts';

const caller = rootCaller();
afterAll(() => caller.dispose());

const BOTH = '--platform=linux/amd64,linux/arm64';
const DOCKERFILE = 'FROM scratch AS pick\nARG TARGETARCH\nCOPY $TARGETARCH.txt /file\nFROM pick\nCOPY Dockerfile /\n';
const FILES = { Dockerfile: DOCKERFILE, 'amd64.txt': 'for amd64', 'arm64.txt': 'for arm64' };

interface IndexJSON {
  readonly mediaType: string;
  readonly manifests: readonly {
    readonly mediaType: string;
    readonly digest: string;
    readonly platform?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
}

const readJSON = (path: string): IndexJSON => JSON.parse(readFileSync(path, 'utf8')) as IndexJSON;
const blob = (layout: string, digest: string) => join(layout, 'blobs/sha256', digest.slice('sha256:'.length));

it('makes an index of the images of all platforms', () => {
  const out = join(caller.home, 'layout');
  const metadata = join(caller.home, 'metadata.json');
  const iidfile = join(caller.home, 'iid');
  const result = caller.tsbuild([
    ...['--progress=plain', '-t', 'two:1', BOTH, '-o', `type=oci,tar=false,dest=${out}`, '--metadata-file', metadata],
    ...['--iidfile', iidfile, writeContext(caller, FILES)],
  ]);
  expect(result.status, outputOf(result)).toBe(0);
  expect(result.stderr).toContain('[linux/amd64 pick 1/1] COPY amd64.txt /file');
  expect(result.stderr).toContain('[linux/arm64 pick 1/1] COPY arm64.txt /file');
  const [entry] = readJSON(join(out, 'index.json')).manifests;
  expect(entry).toMatchObject({
    mediaType: 'application/vnd.oci.image.index.v1+json',
    annotations: { 'org.opencontainers.image.ref.name': '1' },
  });
  const index = readJSON(blob(out, entry!.digest));
  expect(index.manifests.map(({ platform }) => platform)).toEqual([
    { architecture: 'amd64', os: 'linux' },
    { architecture: 'arm64', os: 'linux' },
  ]);
  expect(readFileSync(iidfile, 'utf8')).toBe(entry!.digest);
  expect(result.stdout.trim()).toBe(entry!.digest);
  expect(JSON.parse(readFileSync(metadata, 'utf8'))).toMatchObject({
    'containerimage.digest': entry!.digest,
    'image.name': 'two:1',
  });
});

it('keeps each platform under the name, for later builds', () => {
  const images = caller
    .tsbuild(['images'])
    .stdout.split('\n')
    .filter((line) => line.startsWith('two '));
  expect(images.map((line) => /linux\/\S+/.exec(line)?.[0]).sort()).toEqual(['linux/amd64', 'linux/arm64']);
  for (const architecture of ['amd64', 'arm64']) {
    const out = join(caller.home, `from-${architecture}`);
    const context = writeContext(caller, { Dockerfile: 'FROM two:1\n' });
    expect(caller.tsbuild([`--platform=linux/${architecture}`, '-o', out, context]).status).toBe(0);
    expect(readFileSync(join(out, 'file'), 'utf8')).toBe(`for ${architecture}`);
  }
});

it('makes an index of one platform when BUILDKIT_MULTI_PLATFORM asks for it', () => {
  const out = join(caller.home, 'one');
  const flags = ['--build-arg', 'BUILDKIT_MULTI_PLATFORM=1', '--platform=linux/arm64'];
  expect(caller.tsbuild([...flags, '-o', `type=oci,tar=false,dest=${out}`, writeContext(caller, FILES)]).status).toBe(
    0,
  );
  const [entry] = readJSON(join(out, 'index.json')).manifests;
  expect(readJSON(blob(out, entry!.digest)).manifests).toHaveLength(1);
});

it('splits directories and tars by platform', () => {
  const out = join(caller.home, 'split');
  expect(caller.tsbuild([BOTH, '-o', out, '-o', `type=tar,dest=${out}.tar`, writeContext(caller, FILES)]).status).toBe(
    0,
  );
  expect(readFileSync(join(out, 'linux_arm64/file'), 'utf8')).toBe('for arm64');
  const names = execFileSync('tar', ['-tf', `${out}.tar`], { encoding: 'utf8' });
  expect(names).toBe(
    'linux_amd64/\nlinux_amd64/Dockerfile\nlinux_amd64/file\nlinux_arm64/\nlinux_arm64/Dockerfile\nlinux_arm64/file\n',
  );
});

describeNeeding(['lab', 'skopeo'], 'a registry', () => {
  it('gets the images of all platforms and the index that leads to them', () => {
    const name = `${REGISTRY}/tsbuild-test/two-${process.pid}:1`;
    const other = `${REGISTRY}/tsbuild-test/other-${process.pid}:1`;
    const result = caller.tsbuild([...['-t', name, '-t', other, BOTH, '--push'], writeContext(caller, FILES)]);
    expect(result.status, outputOf(result)).toBe(0);
    const skopeo = (...args: string[]) => execFileSync('skopeo', args, { encoding: 'utf8' });
    for (const pushed of [name, other]) {
      const raw = skopeo('inspect', '--raw', '--tls-verify=false', `docker://${pushed}`);
      expect(`sha256:${createHash('sha256').update(raw).digest('hex')}`).toBe(result.stdout.trim());
      const { mediaType, manifests } = JSON.parse(raw) as IndexJSON;
      expect(mediaType).toBe('application/vnd.oci.image.index.v1+json');
      expect(manifests.map(({ platform }) => platform?.['architecture'])).toEqual(['amd64', 'arm64']);
    }
    for (const architecture of ['amd64', 'arm64']) {
      const out = join(caller.home, `pushed-${architecture}`);
      const context = writeContext(caller, { Dockerfile: `FROM ${name}\n` });
      const store = join(caller.home, 'fresh-store');
      const pulled = caller.tsbuild([`--platform=linux/${architecture}`, '-o', out, context], { store });
      expect(pulled.status, outputOf(pulled)).toBe(0);
      expect(readFileSync(join(out, 'file'), 'utf8')).toBe(`for ${architecture}`);
    }
  });
});

it('refuses a Docker archive of several platforms before anything is built', () => {
  const result = caller.tsbuild([BOTH, '-o', `type=docker,dest=${caller.home}/x.tar`, writeContext(caller, FILES)]);
  expect(result.stderr).toContain('error: docker exporter does not currently support exporting manifest lists');
  expect(result.status).toBe(2);
});

/** Set by TSBUILD_ARM64_ROOTFS, else made once with mmdebstrap. */
const rootfs = process.env['TSBUILD_ARM64_ROOTFS'] ?? '/var/tmp/tsbuild-arm64/rootfs.tar';
const needs = [
  'root',
  '/proc/sys/fs/binfmt_misc/qemu-aarch64',
  { name: 'x86-64', isHere: process.arch === 'x64' },
  ...(existsSync(rootfs) ? [] : ['mmdebstrap', 'arch-test']),
];

describeNeeding(needs, 'a real arm64 image', () => {
  it('runs its own programs, and the index of both platforms is read by others', () => {
    if (!existsSync(rootfs)) {
      mkdirSync(join(rootfs, '..'), { recursive: true });
      execFileSync('mmdebstrap', ['--arch=arm64', '--variant=minbase', 'bookworm', rootfs], { stdio: 'ignore' });
    }
    const layout = writeLayout(readFileSync(rootfs));
    const context = writeContext(caller, {
      Dockerfile:
        'ARG TARGETARCH\nFROM base AS arm64\nRUN uname -m | tee /machine\nFROM scratch AS amd64\nCOPY Dockerfile /machine\nFROM $TARGETARCH\n',
    });
    const archive = join(caller.home, 'both.tar');
    const result = caller.tsbuild([
      ...['--progress=plain', '-t', 'both:1', BOTH, '--build-context', `base=oci-layout://${layout}`],
      ...['-o', `type=oci,dest=${archive}`, context],
    ]);
    expect(result.status, outputOf(result)).toBe(0);
    expect(result.stderr).toMatch(/\[linux\/arm64 arm64 1\/2\] RUN uname -m[\s\S]* aarch64\n/);
    if (hasPrograms('skopeo')) {
      const raw = execFileSync('skopeo', ['inspect', '--raw', `oci-archive:${archive}`], { encoding: 'utf8' });
      const { manifests } = JSON.parse(raw) as IndexJSON;
      expect(manifests.map(({ platform }) => platform?.['architecture'])).toEqual(['amd64', 'arm64']);
    }
    if (hasPrograms('umoci')) {
      const dir = join(caller.home, 'both');
      mkdirSync(dir);
      execFileSync('tar', ['-xf', archive, '-C', dir]);
      expect(execFileSync('umoci', ['ls', '--layout', dir], { encoding: 'utf8' })).toBe('1\n');
      execFileSync('umoci', ['gc', '--layout', dir]);
    }
  }, 600_000);
});

/** An OCI layout of one arm64 layer. */
function writeLayout(tar: Buffer): string {
  const dir = join(caller.home, 'arm64-base');
  const put = (bytes: Buffer) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(join(dir, 'blobs/sha256', hex), bytes);
    return { digest: `sha256:${hex}`, size: bytes.length };
  };
  mkdirSync(join(dir, 'blobs/sha256'), { recursive: true });
  const platform = { architecture: 'arm64', os: 'linux' };
  const diffID = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
  const type = 'application/vnd.oci.image';
  const config = put(
    Buffer.from(JSON.stringify({ ...platform, config: {}, rootfs: { type: 'layers', diff_ids: [diffID] } })),
  );
  const layer = put(gzipSync(tar, { level: 1 }));
  const manifest = put(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: `${type}.manifest.v1+json`,
        config: { mediaType: `${type}.config.v1+json`, ...config },
        layers: [{ mediaType: `${type}.layer.v1.tar+gzip`, ...layer }],
      }),
    ),
  );
  writeFileSync(join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const entry = { mediaType: `${type}.manifest.v1+json`, ...manifest, platform };
  writeFileSync(join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  return dir;
}
