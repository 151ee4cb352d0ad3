// The image of the tests of `tsbuild run`: the base with a busybox, which has what the base's own shell lacks.
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';
import { type Caller, type ContextFiles, makeBase, outputOf, writeContext } from './harness.ts';

export const BUSYBOX = '/bin/busybox';

/** What `--oci-runtime` may be here; empty is the built-in sandbox. */
export const RUNTIMES: readonly string[] = spawnSync('runc', ['--version']).status === 0 ? ['', 'runc'] : [''];

/** Called in a group: before its tests the caller builds `app:1`, with further lines and the files they copy. */
export function buildApp(caller: Caller, lines = '', files: ContextFiles = {}): void {
  beforeAll(() => {
    const context = writeContext(caller, { Dockerfile: `FROM base\nCOPY busybox /bin/busybox\n${lines}`, ...files });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    const built = caller.tsbuild(['-q', '--build-context', `base=oci-layout://${makeBase()}`, '-t', 'app:1', context]);
    expect(outputOf(built)).toMatch(/^sha256:/);
  });
}
