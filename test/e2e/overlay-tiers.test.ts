// The same build where overlays are the kernel's, fuse-overlayfs's, or copies: the layers are the same.
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { type Caller, describeCallers, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
const BUSYBOX = '/bin/busybox';

/** What may happen to files of other layers and of this one; younger times than the epoch are levelled. */
const STEPS = [
  'mkdir -p /d/sub /d/gone /o/deep /e && for f in a b c; do echo $f >/d/$f; echo $f >/d/sub/$f; echo $f >/o/$f; echo $f >/o/deep/$f; done',
  'ln /d/a /d/hard && ln -s a /d/soft && echo t >/d/time && echo gone >/d/gone/x && echo file >/becomes-dir && mkdir /becomes-file && echo x >/becomes-file/x',
  'rm /d/b && rm -r /d/gone && echo new >/d/new && chmod 600 /d/c',
  'rm -r /o && mkdir /o && echo a >/o/a && echo other >/o/other && mkdir /o/deep && echo z >/o/deep/z',
  'rm /becomes-dir && mkdir /becomes-dir && echo in >/becomes-dir/in && rm -r /becomes-file && echo file >/becomes-file',
  'mv /d/sub /moved && mv /d/new /d/renamed && mkdir -m 1777 /e/sticky',
  'ln /d/time /d/time2 && mkfifo /e/pipe && chmod 4755 /d/renamed && echo more >>/moved/a',
  'ln /d/a /d/hard2',
  'chmod 700 /e && echo dots >"/e/ ..x" && touch /d/soft2 && rm /d/soft2 && ln -sfn b /d/soft',
  'echo deep >/o/deep/z2 && rm /o/a && mkdir -p /o/a/b/c && touch -h -d @4 /d/soft && cp -p /d/time /d/time.copy',
];
const SETUP = 'COPY busybox /bb/busybox\nENV PATH=/bb\nRUN ["busybox", "--install", "/bb"]\n';
const DOCKERFILE = `FROM base\n${SETUP}${STEPS.map((step) => `RUN ${step}\n`).join('')}`;

function layersOf(caller: Caller, tier: string): { readonly text: string; readonly diffIDs: readonly string[] } {
  const context = writeContext(caller, { Dockerfile: DOCKERFILE, busybox: readFileSync(BUSYBOX) });
  chmodSync(join(context, 'busybox'), 0o755);
  const store = join(caller.home, `store-${tier}`);
  const output = join(caller.home, `out-${tier}`);
  const result = caller.tsbuild(
    [
      'build',
      '--progress=plain',
      '--network=none',
      '--build-context',
      `base=oci-layout://${base}`,
      '-o',
      `type=oci,rewrite-timestamp=true,tar=false,dest=${output}`,
      context,
    ],
    { store, env: { TSBUILD_OVERLAY: tier, SOURCE_DATE_EPOCH: '5000' } },
  );
  if (result.status !== 0) throw new Error(outputOf(result));
  const read = (
    digest: string,
  ): { rootfs: { diff_ids: string[] }; config: { digest: string }; manifests: { digest: string }[] } =>
    JSON.parse(readFileSync(join(output, digest === '' ? 'index.json' : `blobs/sha256/${digest.slice(7)}`), 'utf8'));
  const manifest = read(read('').manifests[0]?.digest ?? '');
  expect(readdirSync(join(store, 'tmp/sandbox')).sort()).toEqual(['empty-a', 'empty-b', 'mount']);
  return { text: outputOf(result), diffIDs: read(manifest.config.digest).rootfs.diff_ids };
}

describeCallers('layers', { timeout: 120_000, needs: [BUSYBOX] }, (caller) => {
  let ofKernel: readonly string[] | undefined;
  const kernel = (): readonly string[] => {
    ofKernel ??= layersOf(caller, 'kernel').diffIDs;
    return ofKernel;
  };

  it('are the same from copies as from the overlays of the kernel', () => {
    expect(layersOf(caller, 'copy').diffIDs).toEqual(kernel());
    expect(new Set(kernel()).size).toBeGreaterThan(STEPS.length);
  });

  itNeeding(['fuse-overlayfs', '/dev/fuse'], 'are the same from fuse-overlayfs', () => {
    expect(layersOf(caller, 'fuse').diffIDs).toEqual(kernel());
  });
});
