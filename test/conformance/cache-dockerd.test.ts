// Caches that dockerd 20.10 reads: inside an image, and as an index or a manifest list.
import { expect, it } from 'vitest';
import { describeRoot, outputOf, writeContext } from '../e2e/harness.ts';
import { REGISTRY } from '../needs.ts';
import { Dockerd, hasDockerd } from './dockerd.ts';

const needs = [{ name: 'dockerd 20.10', isHere: hasDockerd() }, 'lab'];
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
    // A daemon that knows nothing of the other forms.
    await using dockerd = new Dockerd();
    await dockerd.answers();
    const context = writeContext(caller, { Dockerfile: DOCKERFILE, word: `${name}\n` });
    const ref = `${repository}-${name}:1`;
    const image = name === 'inline' ? ['--push', '-t', ref] : [];
    const built = caller.tsbuild(['build', '--progress=plain', ...image, '--cache-to', to, context]);
    expect(built.status, outputOf(built)).toBe(0);

    const flags = ['--progress=plain', '--network=host', '-t', `from-${name}`, '--cache-from', ref];
    const theirs = await dockerd.docker('build', ...flags, context);
    expect(theirs.status, theirs.text).toBe(0);
    expect(theirs.text).toContain(`importing cache manifest from ${ref}`);
    expect(theirs.text).not.toMatch(/warn|error|fail/i);
    expect(cachedSteps(theirs.text).filter((step) => cached.includes(step))).toEqual(cached);
    const files = await dockerd.docker('run', '--rm', '--network=none', `from-${name}`, 'cat', '/copy', '/again');
    expect(files).toEqual({ status: 0, text: `${name}\n`.repeat(2) });
  });
});

function cachedSteps(text: string): readonly string[] {
  const cached = new Set([...text.matchAll(/^#(\d+) CACHED$/gm)].map(([, number]) => number));
  const steps = [...text.matchAll(/^#(\d+) \[[^\]]*\d\/\d+\] (.*)$/gm)];
  return [...new Set(steps.flatMap(([, number, step = '']) => (cached.has(number) ? [step] : [])))].sort();
}
