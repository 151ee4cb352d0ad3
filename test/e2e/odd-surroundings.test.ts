// The command where its streams, its directory or its store are not what they should be.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, globSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Caller, describeCallers, describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
const named = ['--build-context', `base=oci-layout://${base}`];
const LINE = 'y'.repeat(60);

describeCallers('odd surroundings', {}, (caller) => {
  it('wait for a slow reader of the log, and lose nothing', async () => {
    const lines = 60_000;
    const context = writeContext(caller, { Dockerfile: repeated(lines) });
    const child = start(caller, ['build', '--progress=plain', '-t', 'slow:1', ...named, context]);
    const exit = new Promise<number | null>((resolve) => child.on('exit', resolve));
    // Nobody reads until the step has written far more than a pipe holds.
    while (logBytes(caller) < 500_000 && child.exitCode === null) await new Promise((resolve) => setImmediate(resolve));
    let text = '';
    for await (const chunk of child.stderr) text += String(chunk);
    expect(await exit, text.slice(-2000)).toBe(0);
    expect(text.split('\n').filter((line) => line.endsWith(` ${LINE}`))).toHaveLength(lines);
    expect(text).toContain('naming to docker.io/library/slow:1 done');
  });

  it('start no program of the directory one stands in, whatever PATH says', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN --mount=type=ssh true\n', key: 'no key' });
    for (const name of ['newuidmap', 'slirp4netns', 'ssh-agent', 'ssh-add']) {
      writeFileSync(join(context, name), '#!/bin/sh\n>planted-was-run\nexit 1\n', { mode: 0o755 });
    }
    const result = caller.tsbuild(['build', '--ssh', 'default=key', ...named, '.'], {
      cwd: context,
      env: { PATH: `:.:${process.env['PATH']}` },
    });
    expect(result.status).toBe(1);
    expect(outputOf(result)).toMatch(/ssh agent default: cannot (use the key|start ssh-agent)/);
    expect(existsSync(join(context, 'planted-was-run'))).toBe(false);
  });

  it('go on when nobody reads the log any more', () => {
    const context = writeContext(caller, { Dockerfile: repeated(60_001) });
    const build = [...caller.command, 'build', '--progress=plain', '-t', 'unread:1', ...named, context].join(' ');
    const result = caller.run('sh', ['-c', `(${build} 2>&1; echo $? >status) | head -n 1; cat status`]);
    expect(result.stdout).toBe('#1 [internal] load build definition from Dockerfile\n0\n');
    expect(caller.tsbuild(['images', '-q']).status).toBe(0);
  });

  it('show no more of an endless line than can be read', () => {
    const value = 'x'.repeat(30_000);
    const large = ['A', 'B', 'C', 'D', 'E'].map((name) => `ENV ${name}=${value}\n`).join('');
    const dockerfile = `FROM base\n${large}ENV Z=$A$B$C$D$E\nRUN true\n`;
    const result = caller.tsbuild([
      'build',
      '--progress=plain',
      ...named,
      writeContext(caller, { Dockerfile: dockerfile }),
    ]);
    expect(result.stderr).toContain(
      'hint: exec: "/bin/sh": argument list too long; the command and all of ENV and ARG together are more than the kernel passes on: put large values into files\n',
    );
    expect(result.stderr).toContain(`ENV E=${'x'.repeat(494)}…\n`);
    expect(result.status).toBe(1);
  });

  it('take a store that is named from where the user stands', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo ran here\n' });
    const result = caller.tsbuild(['build', '--progress=plain', ...named, context], { store: './relative' });
    expect(outputOf(result)).toContain('ran here');
    expect(result.status).toBe(0);
    expect(existsSync(join(caller.home, 'relative/meta.db'))).toBe(true);
  });

  it('say that the current directory is gone', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\n' });
    const build = [...caller.command, 'build', '--progress=plain', ...named, context].join(' ');
    const result = caller.run('sh', ['-c', `mkdir gone && cd gone && rmdir ../gone && ${build}`]);
    expect(outputOf(result)).toContain(
      'error: the current directory has been removed\nhint: change to one that exists\n',
    );
    expect(result.status).toBe(1);
  });
});

describeRoot('odd surroundings of root', {}, (caller) => {
  it('name a store that cannot be made', () => {
    const result = caller.tsbuild(['images'], { store: '/proc/store', timeoutMs: 20_000 });
    expect(outputOf(result)).toBe(
      'error: cannot write to the store "/proc/store"\nhint: make it writable for this user, or name another directory with TSBUILD_ROOT\n' +
        "cause: ENOENT: no such file or directory, mkdir '/proc/store'\n",
    );
    expect(result.status).toBe(1);
  });

  it('say that standard output is full', () => {
    caller.tsbuild(['build', '-t', 'a:1', ...named, writeContext(caller, { Dockerfile: 'FROM base\n' })]);
    const disk = join(caller.home, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', disk]);
    try {
      writeFileSync(join(disk, 'full'), Buffer.alloc(4096));
      const result = caller.run('sh', ['-c', `${caller.command.join(' ')} images >disk/out`]);
      expect(outputOf(result)).toBe('error: cannot write to standard output: ENOSPC: no space left on device, write\n');
      expect(result.status).toBe(1);
    } finally {
      execFileSync('umount', [disk]);
      rmSync(disk, { recursive: true });
    }
  });
});

/** The shell's own commands only. */
function repeated(lines: number): string {
  return `FROM base\nRUN i=0; while [ $i -lt ${lines} ]; do echo ${LINE}; i=$((i+1)); done\n`;
}

function start(caller: Caller, args: readonly string[]) {
  const [program = '', ...rest] = [...caller.prefix, ...caller.command, ...args];
  const env = { PATH: process.env['PATH'], HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'store') };
  return spawn(program, rest, { cwd: caller.home, env, stdio: ['ignore', 'ignore', 'pipe'] });
}

function logBytes(caller: Caller): number {
  return globSync(join(caller.home, 'store/runs/*/*.log')).reduce((sum, path) => sum + statSync(path).size, 0);
}
