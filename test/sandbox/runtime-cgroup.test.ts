import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findRuntimePlace } from '../../src/sandbox/runtime-cgroup.ts';

describe('the cgroups of runtimes', () => {
  let dir = '';
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-runtime-cgroup-'));
    for (const name of ['memory/ci/job', 'pids/ci/job', 'pids/other', 'v2/ci']) {
      mkdirSync(join(dir, name), { recursive: true });
    }
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const mounts = (root = '/') =>
    ['memory', 'pids']
      .map((name, index) => `3${index} 20 0:2${index} ${root} ${dir}/${name} rw - cgroup cgroup rw,${name}\n`)
      .join('');
  const memory = (name: string) => ({ version: 1, dir: join(dir, 'memory', name) });

  it('are below the own ones in trees of version 1', () => {
    const own = '4:memory:/ci/job\n3:pids:/other\n';
    expect(findRuntimePlace('/usr/sbin/runc', mounts(), own)).toEqual({ prefix: '', memory: memory('ci/job') });
  });

  it('are there for crun too, where it can be told so', () => {
    const own = '4:memory:/ci/job\n3:pids:/ci/job\n';
    expect(findRuntimePlace('/bin/crun', mounts(), own)).toEqual({ prefix: '/ci/job/', memory: memory('ci/job') });
    expect(findRuntimePlace('/bin/crun', mounts(), '4:memory:/\n3:pids:/\n').prefix).toBe('/');
    const apart = '4:memory:/ci/job\n3:pids:/other\n';
    expect(findRuntimePlace('/bin/crun', mounts(), apart)).toEqual({ prefix: '/', memory: memory('/') });
  });

  it('are at the top where the own ones cannot be seen, and in the unified tree', () => {
    const top = { prefix: '/', memory: memory('/') };
    expect(findRuntimePlace('/usr/sbin/runc', mounts(), '4:memory:/gone\n3:pids:/other\n')).toEqual(top);
    const outside = '4:memory:/ci\n3:pids:/ci\n';
    expect(findRuntimePlace('/usr/sbin/runc', mounts('/docker/1'), outside)).toEqual({ ...top, memory: memory('') });
    const unified = `30 20 0:26 / ${dir}/v2 rw - cgroup2 cgroup2 rw\n`;
    expect(findRuntimePlace('/usr/sbin/runc', unified, '0::/ci\n').prefix).toBe('/');
  });

  it('are seen from inside a container, whose mounts show a part of the trees', () => {
    const own = '4:memory:/docker/1/ci/job\n3:pids:/docker/1\n';
    expect(findRuntimePlace('/usr/sbin/runc', mounts('/docker/1'), own)).toEqual({
      prefix: '',
      memory: memory('ci/job'),
    });
  });
});
