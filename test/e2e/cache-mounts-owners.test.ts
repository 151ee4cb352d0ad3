// Owners of the files of cache mounts that travel with a cache, also where owners are only written down.
import { chmodSync, copyFileSync, cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { type Caller, makeBase, outputOf, rootCaller, singleIDCaller, writeContext } from './harness.ts';

const MAKE = `cd /c && echo 1 > file && ln -s file link && ln file twin && ln link again && mkdir dir && mkfifo fifo
chown 33:44 file && chown -h 5:6 link && chown 7:8 fifo && chown 9:10 dir && chown 1:2 .
chmod 4755 file && chmod 2775 dir && chmod 1777 . && chmod 000 fifo`;
const SHOW = 'cd /c && for name in . *; do echo "is $(stat -c "%n %a %u:%g %h %F" $name)"; done';
const FILES = [
  '. 1777 1:2 3 directory',
  'again 777 5:6 2 symbolic link',
  'dir 2775 9:10 2 directory',
  'fifo 0 7:8 1 fifo',
  'file 4755 33:44 2 regular file',
  'link 777 5:6 2 symbolic link',
  'twin 4755 33:44 2 regular file',
];

const BUSYBOX = '/bin/busybox';

describeNeeding(['root', 'useradd', 'runuser', BUSYBOX], 'owners in cache mounts of an exported cache', () => {
  const [root, single] = [rootCaller(), singleIDCaller()];
  afterAll(() => {
    root.dispose();
    single.dispose();
  });
  let base = '';
  beforeAll(() => (base = `base=oci-layout://${makeBase()}`));

  const build = (caller: Caller, flags: readonly string[], script: string): string => {
    const install = '/context/busybox mkdir /tools && /context/busybox --install -s /tools';
    const run = 'RUN --network=none --mount=target=/context --mount=type=cache,id=owned,target=/c';
    const context = writeContext(caller, {
      Dockerfile: `FROM base\n${run} ${install} && PATH=/tools /tools/sh /context/script\n`,
      script,
    });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    chmodSync(join(context, 'busybox'), 0o755);
    const result = caller.tsbuild(['build', '--progress=plain', '--build-context', base, ...flags, context]);
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  };

  it.each([
    ['root', 'a user of a single id', root, single],
    ['a user of a single id', 'root', single, root],
  ])('come from %s to %s', (_, __, from, to) => {
    const made = join(from.home, 'cache');
    build(from, ['--no-cache', '--cache-to', `type=local,dest=${made},mounts=true`], MAKE);
    const cache = join(to.home, 'imported');
    cpSync(made, cache, { recursive: true });
    chmodSync(cache, 0o755);
    const store = to.tsbuild(['prune', '--all']);
    expect(store.status, outputOf(store)).toBe(0);
    const text = build(to, ['--cache-from', `type=local,src=${cache}`], SHOW);
    expect(text).toContain('importing cache mount owned');
    const found = text.split('\n').flatMap((line) => /^#\d+ [\d.]+ is (.*)$/.exec(line)?.[1] ?? []);
    expect(found).toEqual(FILES);
  });
});
