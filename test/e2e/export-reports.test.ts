// What a build tells of its exports: on its progress, and in the metadata file.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

describeRoot('exports', {}, (caller) => {
  let flags: readonly string[];
  let context: string;
  beforeAll(() => {
    flags = ['build', '--progress=plain', '--build-context', `base=oci-layout://${makeBase()}`];
    context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo one > /one\n' });
  });

  it.each([[[]], [['type=oci,dest=a.tar']], [['type=oci,dest=a.tar', 'type=docker,dest=b.tar', 'type=local,dest=c']]])(
    'tell once that layers were exported: %j',
    (outputs: readonly string[]) => {
      const result = caller.tsbuild([...flags, ...outputs.flatMap((output) => ['-o', output]), context]);
      expect(result.status, outputOf(result)).toBe(0);
      expect(outputOf(result).match(/^#\d+ exporting layers .*done$/gm)).toHaveLength(1);
    },
  );

  it('of caches: several at once, the last manifest in the metadata file, and one that fails is a warning', () => {
    const to = ['a', 'b'].flatMap((name) => ['--cache-to', `type=local,dest=${name}-cache,mode=max`]);
    const refused = ['--cache-to', 'type=local,dest=/dev/null/x'];
    const result = caller.tsbuild([...flags, ...to, ...refused, '--metadata-file', 'meta.json', context]);
    expect(result.status, outputOf(result)).toBe(0);
    expect(outputOf(result)).toMatch(
      /^warning: cannot export the cache to \/dev\/null\/x: cannot write "\/dev\/null\/x": /m,
    );
    const indexOf = (name: string) =>
      JSON.parse(readFileSync(join(caller.home, `${name}-cache`, 'index.json'), 'utf8'));
    const { mediaType, digest, size } = indexOf('b').manifests[0];
    expect(indexOf('a').manifests[0].digest).toBe(digest);
    const metadata = JSON.parse(readFileSync(join(caller.home, 'meta.json'), 'utf8'));
    expect(JSON.parse(metadata['cache.manifest'])).toEqual({ mediaType, digest, size });
    expect(metadata['containerimage.config.digest']).toBe(result.stdout.trim());
    const failing = caller.tsbuild([...flags, '--cache-to', 'type=local,dest=/dev/null/x,ignore-error=false', context]);
    expect(failing.status).toBe(1);
    expect(failing.stderr).toContain('error: cannot write "/dev/null/x": ');
  });
});
