// ADD of URLs and repositories, seen from outside.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { freePort } from '../registry/registry-rig.ts';
import { GitServer, GIT } from '../remote/git-server.ts';
import { describeCallers, outputOf, writeContext } from './harness.ts';

const needs = ['root', 'python3', GIT];

describeCallers('ADD', { needs }, (caller) => {
  const git = new GitServer();
  const served = mkdtempSync(join(tmpdir(), 'tsbuild-served-'));
  let web: ChildProcess;
  let url = '';
  beforeAll(async () => {
    await git.listen();
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    web = spawn('python3', ['-m', 'http.server', '--bind', '127.0.0.1', `${port}`], { cwd: served, stdio: 'ignore' });
    while (!(await answers(port))) await sleep(25);
  });
  afterAll(() => {
    web?.kill();
    git.close();
    rmSync(served, { recursive: true, force: true });
  });

  function build(dockerfile: string): string {
    const context = writeContext(caller, { Dockerfile: dockerfile });
    const out = join(caller.home, 'out');
    rmSync(out, { recursive: true, force: true });
    const result = caller.tsbuild(['build', '--progress=plain', '-o', out, context]);
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  }

  function built(path: string): string {
    return readFileSync(join(caller.home, 'out', path), 'utf8');
  }

  it('copies a fetched file, and is cached until its body changes', () => {
    writeFileSync(join(served, 'f'), 'one');
    utimesSync(join(served, 'f'), 1e9, 1e9);
    const dockerfile = `FROM scratch\nADD ${url}/f /dir/`;
    build(dockerfile);
    expect(built('dir/f')).toBe('one');
    utimesSync(join(served, 'f'), 1.1e9, 1.1e9);
    expect(build(dockerfile)).toMatch(/ADD .*\n#\d+ CACHED/);
    writeFileSync(join(served, 'f'), 'two');
    expect(build(dockerfile)).not.toContain('CACHED');
    expect(built('dir/f')).toBe('two');
  });

  it('copies a repository into a directory', () => {
    git.commit('app', { 'src/main': 'text', 'run.sh': 'go' });
    const dockerfile = `FROM scratch\nADD ${git.url('app')} /app/\nADD ${git.url('app')}#main:src /src`;
    build(dockerfile);
    expect([built('app/src/main'), built('app/run.sh'), built('src/main')]).toEqual(['text', 'go', 'text']);
    expect(build(dockerfile).match(/ CACHED/g)?.length).toBeGreaterThanOrEqual(2);
  });
});

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
