// Caches from BuildKit and back, and through a registry.
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { readLayout, VECTORS, writeVectorContext } from './cache-vectors.ts';
import { itNeeding } from '../needs.ts';
import { type Caller, describeRoot, outputOf, REGISTRY, userCaller } from './harness.ts';

interface Built {
  readonly text: string;
  readonly imageID: string;
  readonly ran: readonly string[];
  readonly store: string;
}

function builder(caller: Caller) {
  const build = (context: string, flags: readonly string[], given?: string): Built => {
    // The caller's own directory: an ordinary user makes the store there.
    const store = given ?? join(caller.home, `store-${process.hrtime.bigint()}`);
    const secret = ['--secret', `id=s1,src=${join(caller.home, 'secret')}`];
    const result = caller.tsbuild(['build', '--progress=plain', ...secret, ...flags, context], { store });
    const text = outputOf(result);
    expect(result.status, text).toBe(0);
    return { text, imageID: result.stdout.trim(), ran: ran(text), store };
  };
  return { build, blobs: (store: string) => readdirSync(join(store, 'blobs', 'sha256')).length };
}

/** Names of the steps that ran. */
function ran(text: string): readonly string[] {
  const names = new Map(
    [...text.matchAll(/^#(\d+) (\[(?!internal).*)$/gm)].map(([, number, name]) => [number, name ?? '']),
  );
  const done = new Set([...text.matchAll(/^#(\d+) DONE/gm)].map(([, number]) => number));
  return [...names].flatMap(([number, name]) => (done.has(number) ? [name] : []));
}

/** Everything below a directory: type, mode, owner, link or content. */
function filesOf(directory: string): readonly string[] {
  return (readdirSync(directory, { recursive: true }) as string[]).sort().map((path) => {
    const full = join(directory, path);
    const stat = lstatSync(full);
    const content = stat.isSymbolicLink()
      ? readlinkSync(full)
      : stat.isFile()
        ? createHash('sha256').update(readFileSync(full)).digest('hex')
        : '';
    return `${path} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${content}`;
  });
}

describeRoot('caches that BuildKit exported', { needs: [VECTORS] }, (caller) => {
  const contexts = new Map<string, string>();
  beforeAll(() => {
    for (const set of ['set1', 'set2']) contexts.set(set, writeVectorContext(caller.home, set));
  });
  const contextOf = (set: string): string => contexts.get(set) ?? '';

  for (const set of ['set1', 'set2']) {
    it(`are all that an empty store needs: ${set}`, () => {
      const { build, blobs } = builder(caller);
      const from = ['--cache-from', `type=local,src=${join(VECTORS, set, 'cache')}`];
      const named = build(contextOf(set), [...from, '-t', 'imported']);
      expect(named.ran).toEqual([]);
      // The image config, and nothing of a layer.
      expect(blobs(named.store)).toBe(1);

      const [imported, fresh] = [join(caller.home, `${set}-imported`), join(caller.home, `${set}-fresh`)];
      const again = build(contextOf(set), ['-o', imported], named.store);
      expect(again.ran).toEqual([]);
      expect(again.imageID).toBe(named.imageID);
      expect(build(contextOf(set), ['-o', fresh]).ran).not.toEqual([]);
      expect(filesOf(imported)).toEqual(filesOf(fresh));
    });

    it(`pass through unchanged but for times: ${set}`, () => {
      const { build } = builder(caller);
      const dest = join(caller.home, `${set}-passed`);
      const from = ['--cache-from', `type=local,src=${join(VECTORS, set, 'cache')}`];
      build(contextOf(set), [...from, '--cache-to', `type=local,dest=${dest},mode=max`]);
      const [own, theirs] = [readLayout(dest), readLayout(join(VECTORS, set, 'cache'))];
      const timeless = (value: unknown): unknown =>
        JSON.parse(JSON.stringify(value).replace(/"(createdAt|buildkit\/createdat)":"[^"]*"/g, '"$1":""'));
      expect(timeless(own.config)).toEqual(timeless(theirs.config));
      expect(timeless(own.manifest.layers)).toEqual(timeless(theirs.manifest.layers));
    });
  }

  it('fetch the layers below a step that has to run, and no others', () => {
    const { build, blobs } = builder(caller);
    const from = ['--cache-from', `type=local,src=${join(VECTORS, 'set1', 'cache')}`];
    const changed = join(caller.home, 'changed');
    mkdirSync(changed);
    const dockerfile = join(changed, 'changed.Dockerfile');
    const text = readFileSync(join(contextOf('set1'), 'Dockerfile'), 'utf8');
    writeFileSync(dockerfile, text.replace('echo y > /y', 'cat /out > /y'));
    const { ran, store } = build(contextOf('set1'), [...from, '-f', dockerfile]);
    expect(ran).toHaveLength(1);
    expect(ran[0]).toContain('cat /out > /y');
    // Three layers and the image config.
    expect(blobs(store)).toBe(4);
  });

  it('are unpacked when the image is run, for the first time and once', () => {
    const { build, blobs } = builder(caller);
    const from = ['--cache-from', `type=local,src=${join(VECTORS, 'set1', 'cache')}`];
    const { store } = build(contextOf('set1'), [...from, '-t', 'imported']);
    const run = () => caller.tsbuild(['run', 'imported', 'sh', '-c', 'cat /out'], { store });
    const expected = caller.tsbuild(
      ['run', builder(caller).build(contextOf('set1'), [], `${store}-fresh`).imageID, 'sh', '-c', 'cat /out'],
      { store: `${store}-fresh` },
    );
    expect(run()).toMatchObject({ status: 0, stderr: '', stdout: expected.stdout });
    const fetched = blobs(store);
    expect(fetched).toBeGreaterThan(1);
    expect(run().status).toBe(0);
    expect(blobs(store)).toBe(fetched);
  });

  it('warn when they are not there', () => {
    const { build } = builder(caller);
    const { text } = build(contextOf('set1'), ['--cache-from', `type=local,src=${caller.home}/none`]);
    expect(text).toContain(`warning: cannot import the cache ${caller.home}/none: `);
  });
});

describeRoot('caches in a registry', { needs: [VECTORS, 'lab'] }, (caller) => {
  const repository = `${REGISTRY}/cacheio/e2e-${process.pid}`;
  let context: string;
  let first: Built;
  beforeAll(() => {
    context = writeVectorContext(caller.home, 'set2');
    first = builder(caller).build(context, []);
  });

  const forms = ['image-manifest=true', 'image-manifest=false', 'oci-mediatypes=false', 'compression=zstd'];
  for (const form of forms) {
    it(`come back as they went: ${form}`, () => {
      const { build } = builder(caller);
      const ref = `${repository}:${form.replace('=', '-')}`;
      build(context, ['--cache-to', `type=registry,ref=${ref},mode=max,${form}`], first.store);
      const imported = build(context, ['--cache-from', ref]);
      expect(imported.ran).toEqual([]);
      expect(imported.imageID).toBe(first.imageID);
    });
  }

  it('come back inside an image, as far as it has the layers', () => {
    const { build, blobs } = builder(caller);
    const ref = `${repository}-inline:1`;
    build(context, ['--cache-to', 'type=inline', '--push', '-t', ref], first.store);
    const imported = build(context, ['--cache-from', ref]);
    expect(imported.ran).toEqual([]);
    expect(blobs(imported.store)).toBe(1);
  });

  it('serve an ordinary user, who unpacks what a step needs', () => {
    using user = userCaller();
    const own = writeVectorContext(user.home, 'set2');
    user.run('true', []);
    const { build } = builder(user);
    const dockerfile = join(user.home, 'more.Dockerfile');
    writeFileSync(dockerfile, `${readFileSync(join(own, 'Dockerfile'), 'utf8')}RUN cat /z > /zz\n`);
    const from = `${repository}:image-manifest-true`;
    const { ran } = build(own, ['--cache-from', from, '-f', dockerfile]);
    expect(ran).toHaveLength(1);
  });

  it('fail the build only when that is asked for', () => {
    const { build } = builder(caller);
    const to = 'type=registry,ref=127.0.0.1:1/none:1';
    expect(build(context, ['--cache-to', to], first.store).text).toContain(
      'warning: cannot export the cache to 127.0.0.1:1/none:1: failed to do request: Head "http://127.0.0.1:1/v2/none/blobs/',
    );
    const args = ['build', '--secret', `id=s1,src=${caller.home}/secret`, '--cache-to', `${to},ignore-error=false`];
    expect(caller.tsbuild([...args, context], { store: first.store }).status).toBe(1);
  });

  itNeeding(['skopeo'], 'are pushed with the image, which skopeo reads', () => {
    const { build } = builder(caller);
    const ref = `${repository}-image:1`;
    const { imageID } = build(context, ['-t', ref, '--push'], first.store);
    const copied = join(caller.home, 'copied');
    const skopeo = caller.run('skopeo', ['copy', '--src-tls-verify=false', `docker://${ref}`, `oci:${copied}:x`]);
    expect(skopeo.status, outputOf(skopeo)).toBe(0);
    expect(readLayout(copied).manifest.config.digest).toBe(imageID);
  });
});
