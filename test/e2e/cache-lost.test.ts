// Imported results whose bytes cannot be had when they are needed: their steps run anew.
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { REGISTRY_PROGRAM, registryRig, type RunningRegistry } from '../registry/registry-rig.ts';
import { buildBeside } from './async-build.ts';
import { describeCallers, makeBase, writeContext } from './harness.ts';
import { ran } from './ran-steps.ts';

const STEPS = 'FROM base\nRUN echo first > /first\nCOPY --link file /file\nRUN echo second > /second\n';
const ALL = ['COPY --link file /file', 'RUN echo first > /first', 'RUN echo second > /second'];

const GZIP = Buffer.of(0x1f, 0x8b);

describeCallers('results of a cache that is gone', { needs: [REGISTRY_PROGRAM] }, (caller) => {
  const rig = registryRig();
  const base = ['--build-context', `base=oci-layout://${makeBase()}`];
  let registry: RunningRegistry;
  let [context, longer] = ['', ''];
  let serial = 0;
  beforeAll(async () => {
    registry = await rig.start();
    context = writeContext(caller, { Dockerfile: STEPS, file: 'text' });
    longer = writeContext(caller, { Dockerfile: `${STEPS}RUN cat /first /file /second > /all\n`, file: 'text' });
    const to = ['--cache-to', `type=registry,ref=${registry.host}/app:cache,mode=max`];
    const built = await buildBeside(caller, 'exporter', [...base, ...to, context]);
    expect(built.status, built.text).toBe(0);
  });

  /** A store that has found all steps in the cache at the host, and fetched nothing. */
  const importFrom = async (host: string): Promise<string> => {
    const store = `importer-${serial++}`;
    const built = await buildBeside(caller, store, [...base, '--cache-from', `${host}/app:cache`, context]);
    expect([built.status, ran(built.text)], built.text).toEqual([0, {}]);
    return store;
  };
  const build = async (store: string, flags: readonly string[]) => {
    const built = await buildBeside(caller, store, [...base, ...flags]);
    expect(built.status, built.text).toBe(0);
    const warnings = built.text.split('\n').filter((line) => line.startsWith('warning: cannot use'));
    // A linked copy is two steps, of which the second has no bytes of its own.
    const steps = Object.keys(ran(built.text)).filter((step) => !step.startsWith('LINK '));
    return { ...built, steps: steps.toSorted(), warnings };
  };
  const warningOf = (host: string, reason: string): string =>
    `warning: cannot use cached layers of ${host}/app, so steps whose results are only there run again: ${reason}`;
  /** The registry behind a server that answers requests for blobs itself once it is told how. */
  const unreliable = async () => {
    let answer: ((response: ServerResponse) => void) | undefined;
    const proxy = await rig.proxy(registry.host, (request, response) => {
      if (answer === undefined || !request.url?.includes('/blobs/')) return false;
      answer(response);
      return true;
    });
    return { ...proxy, failWith: (given: typeof answer) => (answer = given) };
  };

  it('run anew when a blob is gone, and so does no step whose bytes are there', async () => {
    const { host, failWith } = await unreliable();
    const store = await importFrom(host);
    const first = writeContext(caller, { Dockerfile: `${STEPS.slice(0, 34)}RUN cat /first\n`, file: 'text' });
    expect((await build(store, [first])).steps).toEqual(['RUN cat /first']);
    failWith((response) => response.writeHead(404).end());
    const { steps, warnings } = await build(store, [longer]);
    expect(steps).toEqual([ALL[0], 'RUN cat /first /file /second > /all', ALL[2]]);
    expect(warnings).toEqual([expect.stringMatching(/^warning: cannot use .*\/app@sha256:[0-9a-f]{64}: not found$/)]);
    expect((await build(store, [longer])).steps).toEqual([]);
  });

  it('run anew when the registry refuses, which is asked no more', async () => {
    const { host, failWith, requests } = await unreliable();
    const store = await importFrom(host);
    failWith((response) => response.writeHead(403).end());
    const asked = requests.length;
    const { steps, warnings } = await build(store, ['-o', join(caller.home, 'refused'), context]);
    expect([steps, warnings.length]).toEqual([ALL, 1]);
    expect(warnings[0]).toContain('pull access denied');
    // One for each of the layers that are fetched side by side.
    expect(requests.length - asked).toBeLessThanOrEqual(3);
    expect(readFileSync(join(caller.home, 'refused', 'second'), 'utf8')).toBe('second\n');
  });

  // Trying again takes its time, and is the same for all callers.
  const answers: readonly [string, (response: ServerResponse) => void][] = [
    ['fails', (response) => response.writeHead(500, { 'retry-after': '0' }).end()],
    ['wants fewer requests', (response) => response.writeHead(429, { 'retry-after': '0' }).end()],
    ['closes in the middle of a blob', (response) => response.writeHead(200).write('few', () => response.destroy())],
  ];
  it.each(answers.slice(0, caller.name === 'root' ? 3 : 1))(
    'run anew when the registry %s, with another to push to',
    async (_, answer) => {
      const { host, failWith } = await unreliable();
      const store = await importFrom(host);
      failWith(answer);
      const pushed = ['--push', '-t', `${registry.host}/pushed:1`];
      const { steps, warnings } = await build(store, [...pushed, longer]);
      expect([steps, warnings.length]).toEqual([[...ALL, 'RUN cat /first /file /second > /all'].toSorted(), 1]);
      expect(warnings[0]).toContain(`cached layers of ${host}/app, so`);
      expect((await build(store, [longer])).steps).toEqual([]);
    },
  );

  it.each<[string, (path: string) => void]>([
    ['cut', (path) => truncateSync(path, 10)],
    ['damaged', (path) => writeFileSync(path, Buffer.alloc(readFileSync(path).length))],
  ])('run anew when a local cache has blobs that are %s, and the base comes from where it is', async (how, damage) => {
    const cache = join(caller.home, how);
    await build(`exporter-${how}`, ['--cache-to', `type=local,dest=${cache},mode=max`, context]);
    for (const name of readdirSync(join(cache, 'blobs/sha256'))) {
      const path = join(cache, 'blobs/sha256', name);
      if (readFileSync(path).subarray(0, 2).equals(GZIP)) damage(path);
    }
    const to = ['-o', `type=tar,dest=${join(caller.home, `${how}.tar`)}`];
    const first = await build(`importer-${how}`, ['--cache-from', `type=local,src=${cache}`, ...to, context]);
    expect([first.steps, first.warnings.length]).toEqual([ALL, 1]);
    expect(first.warnings[0]).toContain(`cached layers of OCI layout "${cache}", so`);
    expect((await build(`importer-${how}`, [...to, context])).steps).toEqual([]);
    const second = await build(`importer-${how}`, [...to, longer]);
    expect([second.steps, second.warnings]).toEqual([['RUN cat /first /file /second > /all'], []]);
  });

  it('run anew when the registry is down: below a step, for a copy from a stage, and for an output', async () => {
    const reader = `${STEPS.replace('base', 'base AS made')}FROM base\nCOPY --from=made /second /copied\n`;
    const [below, copy, output, index] = [
      await importFrom(registry.host),
      await importFrom(registry.host),
      await importFrom(registry.host),
      await importFrom(registry.host),
    ];
    await registry.stop();
    const refused = (method: string): RegExp =>
      new RegExp(
        `^${warningOf(registry.host, '').replace(/[.]/g, '\\.')}failed to do request: ${method} "http://.*connection refused$`,
      );
    const all = [...ALL, 'RUN cat /first /file /second > /all'].toSorted();
    const atStep = await build(below, [longer]);
    expect(atStep.steps).toEqual(all);
    expect(atStep.warnings).toEqual([expect.stringMatching(refused('Get'))]);

    const copied = writeContext(caller, { Dockerfile: reader, file: 'text' });
    const atCopy = await build(copy, ['-o', join(caller.home, 'copied'), copied]);
    expect(atCopy.steps).toEqual(['COPY --from=made /second /copied', ...ALL].toSorted());
    expect(atCopy.warnings).toHaveLength(1);
    expect(readFileSync(join(caller.home, 'copied', 'copied'), 'utf8')).toBe('second\n');

    const from = ['--cache-from', `${registry.host}/app:cache`];
    const atOutput = await build(output, [...from, '-o', `type=oci,dest=${join(caller.home, 'out.tar')}`, context]);
    expect([atOutput.steps, atOutput.warnings.length]).toEqual([ALL, 1]);
    expect(atOutput.text).toContain(`warning: cannot import the cache ${registry.host}/app:cache: `);
    const platforms = ['--platform', 'linux/amd64', '-o', `type=tar,dest=${join(caller.home, 'root.tar')}`];
    expect((await build(index, [...platforms, context])).steps).toEqual(ALL);
  });
});
