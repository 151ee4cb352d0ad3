// The same Dockerfiles built by dockerd 20.10's BuildKit and by us: configs, histories and every file compared.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeRoot } from '../e2e/harness.ts';
import { REGISTRY } from '../needs.ts';
import { CASES, CONTEXT_SCRIPT } from './differential-cases.ts';
import { DIFFERENCES } from './differential-known.ts';
import { Dockerd, type Finished, finished, hasDockerd } from './dockerd.ts';
import { type ImageContents, readImage } from './image-tree.ts';

/** On a busy machine dockerd 20.10 now and then mounts a base image without its files. What is ours differs every time. */
const REFERENCE_BUILDS = 5;
const BASE = `${REGISTRY}/library/busybox`;
const needs = [{ name: 'dockerd 20.10', isHere: hasDockerd() }, 'lab', 'setcap', 'xz', 'bzip2', 'tar'];

describeRoot('the same as dockerd 20.10', { needs }, (caller) => {
  let place: string;
  let dockerd: Dockerd;
  let context: string;

  beforeAll(async () => {
    dockerd = new Dockerd();
    place = dockerd.place;
    context = join(place, 'context');
    mkdirSync(context);
    execFileSync('sh', ['-ec', CONTEXT_SCRIPT], { cwd: context });
    await dockerd.answers();
  });

  afterAll(async () => {
    await dockerd?.[Symbol.asyncDispose]();
  });

  it.each(CASES)('$name', async (given) => {
    const own = mkdtempSync(join(place, 'case-'));
    const dockerfile = join(own, 'Dockerfile');
    writeFileSync(dockerfile, given.dockerfile.replaceAll(/(FROM |--from=|ARG BASE=)B(?=\s)/g, `$1${BASE}`));
    if (given.ignore !== undefined) writeFileSync(`${dockerfile}.dockerignore`, given.ignore);
    const flags = ['-f', dockerfile, ...(given.flags ?? []), context];
    const ours = await finished(
      caller.command[0],
      [caller.command[1], 'build', '--progress=plain', '-o', `type=docker,dest=${own}/ours.tar`, ...flags],
      {
        HOME: caller.home,
        TSBUILD_ROOT: join(caller.home, 'store'),
      },
    );
    if (given.fails === true) {
      const theirs = await buildWithDocker(dockerd, own, flags);
      expect(theirs.status, theirs.text).not.toBe(0);
      expect(ours.status, ours.text).toBe(1);
      expect(ours.text).toMatch(/error: /);
      expect(ours.text).not.toMatch(/^ +at .*:\d+:\d+\)?$/m);
      return;
    }
    expect(ours.status, ours.text).toBe(0);
    const wanted = DIFFERENCES[given.name]?.lines ?? [];
    let different = await differences(dockerd, own, flags);
    for (let again = 1; again < REFERENCE_BUILDS && !isDeepStrictEqual(different, wanted); again += 1) {
      different = await differences(dockerd, own, ['--no-cache', ...flags]);
    }
    expect(different).toEqual(wanted);
    rmSync(own, { recursive: true, force: true });
  });
});

/** Of our image from a fresh one of dockerd's, or what dockerd said when it failed. */
async function differences(dockerd: Dockerd, own: string, flags: readonly string[]): Promise<readonly string[]> {
  const theirs = await buildWithDocker(dockerd, own, flags);
  if (theirs.status !== 0) return [theirs.text];
  return compareImages(await readImage(join(own, 'theirs.tar')), await readImage(join(own, 'ours.tar')));
}

async function buildWithDocker(dockerd: Dockerd, own: string, flags: readonly string[]): Promise<Finished> {
  const tag = own.toLowerCase().replaceAll(/[^a-z0-9]+/g, 'x');
  const built = await dockerd.docker('build', '--network=host', '-t', tag, ...flags);
  if (built.status !== 0) return built;
  const saved = await dockerd.docker('save', '-o', `${own}/theirs.tar`, tag);
  return { status: saved.status, text: built.text + saved.text };
}

function compareImages(theirs: ImageContents, ours: ImageContents): readonly string[] {
  const different: string[] = [];
  const compare = (name: string, a: unknown, b: unknown): void => {
    const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
    if (left !== right) different.push(`${name}: ${left} <> ${right}`);
  };
  for (const key of new Set([...Object.keys(theirs.config), ...Object.keys(ours.config)])) {
    compare(key, theirs.config[key], ours.config[key]);
  }
  const [theirHistory, ourHistory] = [theirs.history.map(olderStep), ours.history.map(olderStep)];
  for (const [index, line] of theirHistory.entries()) compare(`history ${index}`, line, ourHistory[index]);
  compare('history length', theirs.history.length, ours.history.length);
  for (const path of new Set([...theirs.files.keys(), ...ours.files.keys()])) {
    compare(path, theirs.files.get(path), ours.files.get(path));
  }
  return different;
}

/** What 20.10 and later versions write alike: they show arguments, ports, health checks and flags of COPY differently. */
function olderStep(line: string): string {
  return line
    .replace(/^(ARG|EXPOSE|HEALTHCHECK) .*?( \| )/, '$1$2')
    .replace(/^RUN \|\d+ .*? (\/bin\/)/, 'RUN $1')
    .replace(/^(COPY|ADD)( --\w+=\S+)+/, '$1');
}
