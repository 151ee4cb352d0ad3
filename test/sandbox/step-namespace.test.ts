// Which of this machine's ids the steps of a builder that is root get, and where they cannot be had.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import { hostIDOf } from '../../src/sandbox/step-mapping.ts';
import { chooseStepIds } from '../../src/sandbox/step-namespace.ts';
import { itNeeding } from '../needs.ts';

const UNUSED = { start: 1879048192, count: 65536 };

it('takes a range that is set aside in both files, and else one nobody uses', () => {
  const range = { start: 200000, count: 65536 };
  const other = { start: 400000, count: 100000 };
  expect(chooseStepIds('', '')).toEqual({ uids: UNUSED, gids: UNUSED });
  expect(chooseStepIds('root:200000:65536\n', '0:400000:100000\n')).toEqual({ uids: range, gids: other });
  expect(chooseStepIds('root:1:65536\ncontainers:200000:65536', 'containers:200000:65536\nroot:1:65536').uids).toEqual(
    range,
  );
  expect(chooseStepIds('root:200000:65536\n', 'user:200000:65536\n').uids).toEqual(UNUSED);
  expect(chooseStepIds('root:200000:1000\n', 'root:200000:1000\n').uids).toEqual(UNUSED);
});

it('gives an id without a counterpart to nobody', () => {
  expect([0, 65535, 65536].map((id) => hostIDOf(id, UNUSED))).toEqual([1879048192, 1879113727, 65534]);
});

itNeeding(['root'], 'says what to do where the file system cannot map ids', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-ids-'));
  execFileSync('mount', ['-t', 'ramfs', 'none', dir]);
  const executor = new EmbeddedExecutor({ stateDir: join(dir, 'state'), hasUserNamespace: true });
  try {
    for (const name of ['layer', 'step', 'step/fs', 'step/work']) mkdirSync(join(dir, name));
    const ran = executor.run(
      {
        rootfs: { lowerDirs: [join(dir, 'layer')], upperDir: join(dir, 'step/fs'), workDir: join(dir, 'step/work') },
        mounts: [],
        process: { args: ['/bin/true'], env: [], cwd: '/' },
        network: 'host',
        hostname: 'h',
        extraHosts: [],
        isInsecure: false,
      },
      { signal: new AbortController().signal },
    );
    await expect(ran).rejects.toMatchObject({
      code: 'TSB_SANDBOX_IDS_NOT_MAPPABLE',
      message: 'the sandbox could not mount the root filesystem: mount_setattr: EINVAL',
      hint: '--userns needs Linux 5.19 or newer, and the store on a file system that can map ids, such as ext4, xfs or btrfs',
    });
  } finally {
    await executor.close();
    execFileSync('umount', [dir]);
    rmSync(dir, { recursive: true });
  }
});
