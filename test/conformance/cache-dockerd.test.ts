// Caches that dockerd 20.10 reads: inside an image, and as an index or a manifest list.
import { expect, it } from 'vitest';
import { describeRoot, outputOf, writeContext } from '../e2e/harness.ts';
import { REGISTRY } from '../needs.ts';
import { Dockerd, type Finished, hasDockerd } from './dockerd.ts';

const needs = [{ name: 'dockerd 20.10', isHere: hasDockerd() }, 'lab'];
/** On a busy machine that daemon now and then makes an image without its base's files, whether it has a cache or none. */
const LOST_BASE = /executable file not found|stat \/bin\/sh: no such file/;
const TRIES = 5;
/**
 * The key of a RUN has fields that its BuildKit does not know; those of other steps are the same. One stage alone stands on
 * an image: with two, its results lacked the image's files now and then.
 */
const DOCKERFILE = `FROM scratch AS made
COPY word /made/
COPY word /made/again
FROM ${REGISTRY}/library/busybox
COPY word /word
RUN cat /word > /copy
COPY --from=made /made/again /again
`;
const OWN = ['COPY word /word'];
const ALL = ['COPY word /made/', 'COPY word /made/again', 'COPY word /word'];

describeRoot('caches for dockerd 20.10', { needs, timeout: 180_000 }, (caller) => {
  const repository = `${REGISTRY}/cacheio/dockerd-${process.pid}`;
  it.each([
    ['inline', 'type=inline', OWN],
    ['index', `type=registry,ref=${repository}-index:1,mode=max,image-manifest=false`, ALL],
    ['list', `type=registry,ref=${repository}-list:1,mode=max,oci-mediatypes=false`, ALL],
  ])('are taken without a warning, and their steps are cached: %s', async (name, to, cached) => {
    const context = writeContext(caller, { Dockerfile: DOCKERFILE, word: `${name}\n` });
    const ref = `${repository}-${name}:1`;
    const image = name === 'inline' ? ['--push', '-t', ref] : [];
    const built = caller.tsbuild(['build', '--progress=plain', ...image, '--cache-to', to, context]);
    expect(built.status, outputOf(built)).toBe(0);

    const flags = ['--progress=plain', '--network=host', '--cache-from', ref];
    for (let tries = 1; ; tries += 1) {
      const { theirs, files } = await buildAndRead([...flags, context]);
      if (tries < TRIES && LOST_BASE.test(`${theirs.text}${files.text}`)) continue;
      expect(theirs.status, theirs.text).toBe(0);
      expect(theirs.text).toContain(`importing cache manifest from ${ref}`);
      expect(theirs.text).not.toMatch(/warn|error|fail/i);
      expect(cachedSteps(theirs.text).filter((step) => cached.includes(step))).toEqual(cached);
      expect(files).toEqual({ status: 0, text: `${name}\n`.repeat(2) });
      return;
    }
  });
});

/** With a daemon of its own, which knows nothing of what others built. */
async function buildAndRead(
  flags: readonly string[],
): Promise<{ readonly theirs: Finished; readonly files: Finished }> {
  await using dockerd = new Dockerd();
  await dockerd.answers();
  const theirs = await dockerd.docker('build', '-t', 'theirs', ...flags);
  return { theirs, files: await dockerd.docker('run', '--rm', '--network=none', 'theirs', 'cat', '/copy', '/again') };
}

function cachedSteps(text: string): readonly string[] {
  const cached = new Set([...text.matchAll(/^#(\d+) CACHED$/gm)].map(([, number]) => number));
  const steps = [...text.matchAll(/^#(\d+) \[[^\]]*\d\/\d+\] (.*)$/gm)];
  return [...new Set(steps.flatMap(([, number, step = '']) => (cached.has(number) ? [step] : [])))].sort();
}
