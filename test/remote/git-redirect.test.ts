// Repositories behind redirects, with a token that is for one host.
import type { RequestListener } from 'node:http';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseGitUrl } from '../../frontend/git-url.ts';
import { gitSource } from '../../frontend/remote-source.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { openRemoteSources } from '../../src/remote/open-remote-sources.ts';
import { describeNeeding } from '../needs.ts';
import { storeRig } from '../store/store-rig.ts';
import { FileServer } from './file-server.ts';
import { GIT } from './git-server.ts';

const CONTEXT = { signal: new AbortController().signal, emit: () => {}, ignoreCache: false };
const TOKEN = `basic ${Buffer.from('x-access-token:hidden').toString('base64')}`;
const ASKED = '/info/refs?service=git-upload-pack';

describeNeeding([GIT], 'a repository that has moved', () => {
  const rig = storeRig();
  let first: FileServer;
  let second: FileServer;
  beforeEach(async () => {
    [first, second] = [new FileServer(), new FileServer()];
    await Promise.all([first.listen(), second.listen()]);
  });
  afterEach(async () => {
    await Promise.all([first.close(), second.close()]);
  });

  /** Asks for the cache key of `main` with a token for any host. */
  async function ask(url: string): Promise<unknown> {
    const sources = openRemoteSources({
      store: rig.open(),
      secrets: { read: async (id) => (id === 'GIT_AUTH_TOKEN' ? Buffer.from('hidden') : undefined) },
      agents: { socketOf: async () => undefined },
      env: { PATH: process.env['PATH'] },
      now: Date.now,
    });
    const git = parseGitUrl(`${url}#main`);
    if (git === undefined) throw new Error(`no git URL: ${url}`);
    const op = gitSource(git, { checksum: undefined, keepGitDir: undefined });
    return await (await sources(op))?.cacheDigest(createVertex(op, [], { name: 'fetch' }), op, CONTEXT);
  }

  const said = ({ requests }: FileServer): readonly string[] => [
    ...new Set(requests.map((request) => request.replace(/^(\w+) (\/\w+\.git)\S*/, '$1 $2'))),
  ];

  it('to another host is fetched from there without the token', async () => {
    first.files.set(`/a.git${ASKED}`, redirectTo(second.url(`/a.git${ASKED}`)));
    serveRepository(second, '/a.git');
    await ask(first.url('/a.git'));
    expect(said(first)).toEqual([`GET /a.git authorization: ${TOKEN}`]);
    expect(said(second)).toEqual(['GET /a.git', 'POST /a.git']);
  });

  it('within its host is fetched with it', async () => {
    first.files.set(`/a.git${ASKED}`, redirectTo(`/b.git${ASKED}`));
    serveRepository(first, '/b.git');
    await ask(first.url('/a.git'));
    expect(said(first)).toEqual(
      ['GET /a.git', 'GET /b.git', 'POST /b.git'].map((request) => `${request} authorization: ${TOKEN}`),
    );
  });

  it('while it was looked up is not followed', async () => {
    let asked = 0;
    first.files.set(`/a.git${ASKED}`, (request, response) => {
      asked += 1;
      if (asked === 1) response.writeHead(200).end();
      else redirectTo(second.url(`/a.git${ASKED}`))(request, response);
    });
    serveRepository(second, '/a.git');
    await expect(ask(first.url('/a.git'))).rejects.toMatchObject({ code: 'TSB_GIT_FAILED' });
    expect(said(second)).toEqual([]);
  });
});

function redirectTo(location: string): RequestListener {
  return (_request, response) => response.writeHead(302, { location }).end();
}

/** As much of a repository as naming its branch takes. */
function serveRepository(server: FileServer, path: string): void {
  const capabilities = ['version 2\n', 'ls-refs=unborn\n', 'fetch=shallow\n', 'object-format=sha1\n'];
  server.files.set(`${path}${ASKED}`, (_request, response) => {
    response.setHeader('content-type', 'application/x-git-upload-pack-advertisement');
    response.end(`${line('# service=git-upload-pack\n')}0000${capabilities.map(line).join('')}0000`);
  });
  server.files.set(`${path}/git-upload-pack`, (_request, response) => {
    response.setHeader('content-type', 'application/x-git-upload-pack-result');
    response.end(`${line(`${'1'.repeat(40)} refs/heads/main\n`)}0000`);
  });
}

/** https://git-scm.com/docs/protocol-common#_pkt_line_format */
function line(text: string): string {
  return (text.length + 4).toString(16).padStart(4, '0') + text;
}
