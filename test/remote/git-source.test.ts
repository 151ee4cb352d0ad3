import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { parseGitUrl } from '../../frontend/git-url.ts';
import { gitSource } from '../../frontend/remote-source.ts';
import { gitSourceDigest } from '../../solver/source-key.ts';
import type { Edge } from '../../solver/vertex.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { openRemoteSources } from '../../src/remote/open-remote-sources.ts';
import { BUSYBOX, RunnerRoom } from '../ops/runner-room.ts';
import { FileServer } from './file-server.ts';
import { GitServer, GIT } from './git-server.ts';

const needs = ['root', BUSYBOX, GIT];
const CONTEXT = { signal: new AbortController().signal, emit: () => {}, ignoreCache: false };

describeNeeding(needs, 'ADD of a repository', () => {
  let room: RunnerRoom;
  let server: GitServer;
  beforeEach(async () => {
    room = new RunnerRoom();
    server = new GitServer();
    await server.listen();
  });
  afterEach(async () => {
    await room.end();
    server.close();
  });

  function source(url: string, options: { checksum?: string; keepGitDir?: boolean } = {}): Edge {
    const git = parseGitUrl(url);
    if (git === undefined) throw new Error(`no git URL: ${url}`);
    const op = gitSource(git, { checksum: options.checksum, keepGitDir: options.keepGitDir });
    return { vertex: createVertex(op, [], { name: 'fetch' }), index: 0 };
  }

  async function listing(url: string, options: Parameters<typeof source>[1] = {}): Promise<readonly string[]> {
    return room.listing(await room.solve(source(url, options)));
  }

  it('gives the files of the default branch without the repository', async () => {
    server.commit('a', { 'x/f': 'text', 'run.sh': 'go', link: '-> x/f' });
    expect(await listing(server.url('a'))).toEqual([
      '/link symlink 0777 0:0 x/f',
      '/run.sh file 0755 0:0 go',
      '/x dir 0755 0:0',
      '/x/f file 0644 0:0 text',
    ]);
  });

  it('takes branches, tags and commits, and a branch before a tag', async () => {
    const first = server.commit('a', { f: '1' });
    server.git('a', 'tag', 'light');
    server.git('a', 'tag', '--annotate', '--message=t', 'heavy');
    server.commit('a', { f: '2' });
    server.git('a', 'branch', 'light');
    server.commit('a', { f: '3' });
    const text = async (ref: string): Promise<string | undefined> =>
      room.text(await room.solve(source(`${server.url('a')}#${ref}`)), '/f');
    expect(await text('main')).toBe('3');
    expect(await text('heavy')).toBe('1');
    expect(await text('light')).toBe('2');
    expect(await text('refs/tags/light')).toBe('1');
    expect(await text(first)).toBe('1');
  });

  it('has the cache keys that BuildKit gives it', async () => {
    const commit = server.commit('a', { 'd/f': '1' });
    server.git('a', 'tag', '--annotate', '--message=t', 'heavy');
    const tag = server.git('a', 'rev-parse', 'heavy');
    const digest = async (url: string, keepGitDir = false): Promise<string> =>
      (await room.runner().cacheMap(source(url, { keepGitDir }).vertex, CONTEXT)).digest;
    const url = server.url('a');
    expect(await digest(url)).toBe(gitSourceDigest({ commit }));
    expect(await digest(`${url}#main:d`)).toBe(gitSourceDigest({ commit, subdir: 'd' }));
    expect(await digest(`${url}#heavy`)).toBe(gitSourceDigest({ commit }));
    expect(await digest(url, true)).toBe(gitSourceDigest({ commit, keptGitRef: 'refs/heads/main' }));
    expect(await digest(`${url}#heavy`, true)).toBe(gitSourceDigest({ commit: tag, keptGitRef: 'refs/tags/heavy' }));
    expect(await digest(`${url}?submodules=false&mtime=commit`)).toBe(
      gitSourceDigest({ commit, skipSubmodules: true, mtime: 'commit' }),
    );
  });

  it('fetches again only when the branch has moved', async () => {
    server.commit('a', { f: '1' });
    const head = source(server.url('a'));
    const first = await room.solve(head);
    expect(await room.solve(head)).toEqual(first);
    expect(room.ranSteps()).toEqual([]);
    server.commit('a', { f: '2' });
    expect(room.text(await room.solve(head), '/f')).toBe('2');
  });

  it('gives a subdirectory alone, and none outside the repository', async () => {
    server.commit('a', { 'd/e/f': '1', g: '2', out: '-> /etc', in: '-> d/e' });
    expect(await listing(`${server.url('a')}#:d/e`)).toEqual(['/f file 0644 0:0 1']);
    expect(await listing(`${server.url('a')}#:in`)).toEqual(['/f file 0644 0:0 1']);
    for (const subdir of ['absent', 'g', 'out']) {
      await expect(listing(`${server.url('a')}#:${subdir}`)).rejects.toMatchObject({
        code: 'TSB_GIT_SUBDIR_NOT_FOUND',
        message: `failed to open subdir ${subdir}: no such file or directory`,
      });
    }
    expect(await listing(`${server.url('a')}#:../../d/e`)).toEqual(['/f file 0644 0:0 1']);
  });

  it('keeps the repository when asked to', async () => {
    const commit = server.commit('a', { f: '1' });
    const result = await room.solve(source(server.url('a'), { keepGitDir: true }));
    expect(room.text(result, '/.git/config')).toContain(`url = ${server.url('a')}`);
    expect(room.text(result, '/.git/HEAD')).toBe(`${commit}\n`);
    expect(room.text(result, '/f')).toBe('1');
  });

  it('shows secrets to the server alone', async () => {
    const http = new FileServer();
    await http.listen();
    const url = http.url('/x.git').replace('//', '//user:word@');
    const ask = async (): Promise<string> => {
      const error = await room.solve(source(`${url}#main`)).catch((caught: unknown) => caught);
      return String(error);
    };
    room.secrets.set('GIT_AUTH_TOKEN', 'hidden');
    expect(await ask()).not.toMatch(/hidden|word/);
    room.secrets.set(`GIT_AUTH_HEADER.${http.host}`, 'basic whole');
    await ask();
    await http.close();
    const authorizations = http.requests.map((request) => request.replace(/.*authorization: /, ''));
    const token = Buffer.from('x-access-token:hidden').toString('base64');
    expect(authorizations).toContain(`basic ${token}`);
    expect(authorizations.at(-1)).toBe('basic whole');
  });

  it('fetches submodules, unless told not to', async () => {
    server.commit('inner', { deep: '1' });
    server.commit('a', { f: '1' });
    server.git('a', 'submodule', 'add', '--quiet', '../inner.git', 'sub');
    server.git('a', 'config', '--file=.gitmodules', 'submodule.sub.url', '../inner.git');
    server.commit('a', {});
    expect((await listing(server.url('a'))).filter((line) => line.includes('/sub'))).toEqual([
      '/sub dir 0755 0:0',
      '/sub/deep file 0644 0:0 1',
    ]);
    expect(await listing(`${server.url('a')}?submodules=false`)).toContain('/sub dir 0755 0:0');
    expect(await listing(`${server.url('a')}?submodules=false`)).not.toContain('/sub/deep file 0644 0:0 1');
  });

  it("shows the user's ssh keys to no host that a submodule names", async () => {
    const directory = join(room.base, 'fake');
    mkdirSync(directory);
    const log = join(directory, 'log');
    writeFileSync(join(directory, 'ssh'), `#!/bin/sh\necho "$@" >>${log}\nexit 255\n`, { mode: 0o755 });
    const commit = server.commit('a', {
      '.gitmodules': '[submodule "s"]\n\tpath = s\n\turl = git@ssh.invalid:private.git\n',
    });
    server.git('a', 'update-index', '--add', '--cacheinfo', `160000,${commit},s`);
    server.git('a', 'commit', '--quiet', '--message=s');
    const sources = openRemoteSources({
      store: room.store,
      secrets: { read: async () => undefined },
      agents: { socketOf: async () => undefined },
      env: { PATH: `${directory}:${process.env['PATH']}` },
      now: Date.now,
    });
    const { vertex } = source(server.url('a'));
    if (vertex.op.kind !== 'source') throw new Error('no source');
    const remote = await sources(vertex.op);
    await expect(remote?.load(vertex, vertex.op, CONTEXT)).rejects.toMatchObject({
      code: 'TSB_GIT_FAILED',
      message: expect.stringContaining("fatal: transport 'ssh' not allowed"),
      hint: 'a submodule is fetched over ssh only when its repository is: name that by ssh, or leave submodules out (?submodules=false)',
    });
    expect(existsSync(log)).toBe(false);
  });

  it('dates files by the commit when asked to', async () => {
    server.commit('a', { 'd/f': '1' });
    const result = await room.solve(source(`${server.url('a')}?mtime=commit`));
    const expected = BigInt(Date.parse('2024-01-02T03:04:05Z')) * 1_000_000n;
    expect([room.mtimeNs(result, '/d'), room.mtimeNs(result, '/d/f')]).toEqual([expected, expected]);
  });

  it('holds a commit against the checksum', async () => {
    const commit = server.commit('a', { f: '1' });
    const url = server.url('a');
    expect(await listing(url, { checksum: commit.slice(0, 8) })).toEqual(['/f file 0644 0:0 1']);
    await expect(listing(url, { checksum: '0123456' })).rejects.toMatchObject({
      code: 'TSB_GIT_CHECKSUM_MISMATCH',
      message: `failed to load cache key: expected checksum to match 0123456, got ${commit}`,
    });
    await expect(listing(url, { checksum: 'xyz' })).rejects.toMatchObject({
      code: 'TSB_GIT_CHECKSUM_INVALID',
      message: 'failed to load cache key: invalid checksum xyz for Git URL, expected hex commit hash',
    });
  });

  it('says what is not there', async () => {
    server.commit('a', { f: '1' });
    await expect(listing(`${server.url('a')}#absent`)).rejects.toMatchObject({
      code: 'TSB_GIT_REF_NOT_FOUND',
      message: 'failed to load cache key: repository does not contain ref absent, output: ""',
      hint: `check the branch, tag or commit of ${server.url('a')}`,
    });
    await expect(listing(`${server.url('b')}#main`)).rejects.toMatchObject({
      code: 'TSB_GIT_FAILED',
      message: `failed to load cache key: failed to fetch remote ${server.url('b')}: git ls-remote: fatal: remote error: access denied or repository not exported: /b.git`,
    });
  });

  it('says that git is not installed, and that there is no agent', async () => {
    const sources = openRemoteSources({
      store: room.store,
      secrets: { read: async () => undefined },
      agents: { socketOf: async () => undefined },
      env: { PATH: room.base },
      now: Date.now,
    });
    const digestOfSource = async ({ vertex }: Edge): Promise<unknown> => {
      if (vertex.op.kind !== 'source') throw new Error('no source');
      return (await sources(vertex.op))?.cacheDigest(vertex, vertex.op, CONTEXT);
    };
    await expect(digestOfSource(source(server.url('a')))).rejects.toMatchObject({
      code: 'TSB_GIT_MISSING',
      message: 'failed to load cache key: cannot fetch a git repository: there is no git program in PATH',
      hint: 'install git, or ADD an archive of the repository by its URL',
    });
    await expect(digestOfSource(source('git@host:x/y.git'))).rejects.toMatchObject({
      code: 'TSB_GIT_NO_AGENT',
      message: 'failed to load cache key: no SSH key "default" forwarded from the client',
      hint: 'give an agent or a key with --ssh default',
    });
  });

  it('stops a server that names refs without end', async () => {
    const packet = (text: string): string => (text.length + 4).toString(16).padStart(4, '0') + text;
    const names = 'x'.repeat(900);
    const flood = createServer((_request, response) => {
      response.setHeader('content-type', 'application/x-git-upload-pack-advertisement');
      response.write(`${packet('# service=git-upload-pack\n')}0000${packet(`${'a'.repeat(40)} HEAD\0\n`)}`);
      const refs = Array.from({ length: 1000 }, (_, n) => packet(`${'a'.repeat(40)} refs/${names}${n}/heads/main\n`));
      for (let megabytes = 0; megabytes < 32; megabytes++) response.write(refs.join(''));
      response.end('0000');
    });
    await new Promise<void>((resolve) => flood.listen(0, '127.0.0.1', resolve));
    const address = flood.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    try {
      await expect(listing(`http://127.0.0.1:${port}/a.git#main`)).rejects.toMatchObject({
        code: 'TSB_GIT_FAILED',
        message: expect.stringMatching(/git ls-remote: more than 16777216 bytes of output$/),
      });
    } finally {
      flood.close();
      flood.closeAllConnections();
    }
  });
});
