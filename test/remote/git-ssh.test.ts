// Repositories behind a real sshd, fetched with the key of a real agent.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { parseGitUrl } from '../../frontend/git-url.ts';
import { gitSource } from '../../frontend/remote-source.ts';
import type { Edge } from '../../solver/vertex.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { openRemoteSources } from '../../src/remote/open-remote-sources.ts';
import { BUSYBOX, RunnerRoom } from '../ops/runner-room.ts';
import { GIT, GitServer } from './git-server.ts';
import { SSH, SSHServer } from './ssh-server.ts';

const CONTEXT = { signal: new AbortController().signal, emit: () => {}, ignoreCache: false };

describeNeeding([BUSYBOX, GIT, ...SSH], 'a repository over ssh', () => {
  const ssh = new SSHServer();
  const git = new GitServer();
  let room: RunnerRoom;
  beforeAll(async () => {
    room = new RunnerRoom();
    await ssh.listen();
    git.commit('a', { 'x/f': 'text' });
  });
  afterAll(async () => {
    await room.end();
    ssh.close();
    git.close();
  });

  function source(url: string): Edge {
    const parsed = parseGitUrl(url);
    if (parsed === undefined) throw new Error(`no git URL: ${url}`);
    const op = gitSource(parsed, { checksum: undefined, keepGitDir: undefined });
    return { vertex: createVertex(op, [], { name: 'fetch' }), index: 0 };
  }

  /** Asks for the cache key, with the agent and this home directory. */
  async function digestOf(url: string, options: { readonly home?: string; readonly hasAgent?: boolean } = {}) {
    const { home = room.base, hasAgent = true } = options;
    const sources = openRemoteSources({
      store: room.store,
      secrets: { read: async () => undefined },
      agents: { socketOf: async (id) => (hasAgent && id === 'default' ? ssh.socket : undefined) },
      env: { PATH: process.env['PATH'], HOME: home },
      now: Date.now,
    });
    const { vertex } = source(url);
    if (vertex.op.kind !== 'source') throw new Error('no source');
    return await (await sources(vertex.op))?.cacheDigest(vertex, vertex.op, CONTEXT);
  }

  function homeWith(name: string, knownHosts: string): string {
    const home = join(room.base, name);
    mkdirSync(join(home, '.ssh'), { recursive: true });
    writeFileSync(join(home, '.ssh/known_hosts'), knownHosts);
    return home;
  }

  it('is fetched with the key of the agent, the host’s key asked of the host', async () => {
    room.agentSockets.set('default', ssh.socket);
    const result = await room.solve(source(`${ssh.url(git.pathOf('a'))}#main:x`));
    expect(room.listing(result)).toEqual(['/f file 0644 0:0 text']);
  });

  it('is refused without an agent, and with an agent that has no key for it', async () => {
    const url = ssh.url(git.pathOf('a'));
    await expect(digestOf(url, { hasAgent: false })).rejects.toMatchObject({
      code: 'TSB_GIT_NO_AGENT',
      message: 'failed to load cache key: no SSH key "default" forwarded from the client',
      hint: 'give an agent or a key with --ssh default',
    });
    await expect(digestOf(url.replace(`${ssh.user}@`, 'nobody@'))).rejects.toMatchObject({
      code: 'TSB_GIT_FAILED',
      message: expect.stringMatching(/failed to fetch remote ssh:|error fetching default branch for repository ssh:/),
    });
  });

  it('must show the key that known_hosts has of it', async () => {
    const url = ssh.url(git.pathOf('a'));
    const right = homeWith('right', `${ssh.listedHost} ${ssh.hostKey()}`);
    await expect(digestOf(url, { home: right })).resolves.toMatch(/^sha256:/);
    const wrong = homeWith('wrong', `${ssh.listedHost} ${ssh.makeKey('other')}`);
    await expect(digestOf(url, { home: wrong })).rejects.toMatchObject({
      code: 'TSB_GIT_FAILED',
      message: expect.stringContaining('Host key verification failed.'),
      hint: expect.stringContaining('known_hosts'),
    });
  });
});
