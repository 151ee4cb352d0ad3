import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import { httpSource } from '../../frontend/remote-source.ts';
import { digestOf } from '../../solver/digest.ts';
import { httpSourceDigest } from '../../solver/source-key.ts';
import type { CopyAction } from '../../solver/op.ts';
import type { Edge } from '../../solver/vertex.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { encodeTarHeader, TAR_END_LENGTH, tarPadding } from '../../src/diff/tar-writer.ts';
import { BUSYBOX, RunnerRoom } from '../ops/runner-room.ts';
import { FileServer } from './file-server.ts';

const DATE = 'Tue, 02 Jan 2024 03:04:05 GMT';
const DATE_NS = BigInt(Date.parse(DATE)) * 1_000_000n;

describeNeeding(['root', BUSYBOX], 'ADD of a URL', () => {
  let room: RunnerRoom;
  let server: FileServer;
  beforeEach(async () => {
    room = new RunnerRoom();
    server = new FileServer();
    await server.listen();
  });
  afterEach(async () => {
    await room.end();
    await server.close();
  });

  function source(url: string, checksum?: string): Edge {
    return { vertex: createVertex(httpSource(url, checksum), [], { name: 'fetch' }), index: 0 };
  }

  function added(url: string, options: { checksum?: string; flags?: Partial<CopyAction> } = {}): Edge {
    const op = httpSource(url, options.checksum);
    const action: CopyAction = {
      action: 'copy',
      input: -1,
      secondaryInput: 0,
      output: 0,
      src: `/${op.attrs['http.filename']}`,
      dest: '/d/',
      mode: -1,
      createDestPath: true,
      ...options.flags,
    };
    const vertex = createVertex({ kind: 'file', actions: [action] }, [source(url, options.checksum)], { name: 'ADD' });
    return { vertex, index: 0 };
  }

  it('gives a file of mode 0600 with the date of the server, under the last name of the URL', async () => {
    server.files.set('/a/b%20c.txt?x=1', { body: 'text', lastModified: DATE });
    const result = await room.solve(added(server.url('/a/b%20c.txt?x=1')));
    expect(room.listing(result)).toEqual(['/d dir 0755 0:0', '/d/b c.txt file 0600 0:0 text']);
    expect(room.mtimeNs(result, '/d/b c.txt')).toBe(DATE_NS);
  });

  it('dates a file of which the server says nothing at the epoch', async () => {
    server.files.set('/', { body: 'text' });
    const result = await room.solve(added(server.url('/')));
    expect(room.listing(result)).toContain('/d/__unnamed__ file 0600 0:0 text');
    expect(room.mtimeNs(result, '/d/__unnamed__')).toBe(0n);
  });

  it('has the cache key that BuildKit gives it', async () => {
    server.files.set('/f', { body: 'text', lastModified: DATE });
    const { vertex } = source(server.url('/f'));
    const context = { signal: new AbortController().signal, emit: () => {}, ignoreCache: false };
    expect(await room.runner().cacheMap(vertex, context)).toEqual({
      digest: httpSourceDigest({ filename: 'f', checksum: digestOf('text'), lastModified: DATE }),
      inputs: [],
    });
  });

  it('fetches once a build and asks later builds’ server whether the file has changed', async () => {
    server.files.set('/f', { body: 'one', etag: '"1"', lastModified: DATE });
    const head = added(server.url('/f'));
    const first = await room.solve(head);
    expect(await room.solve(head)).toEqual(first);
    expect(room.ranSteps()).toEqual([]);
    expect(server.requests).toEqual(['GET /f', 'GET /f, if-none-match: "1"']);
    server.files.set('/f', { body: 'two', etag: '"2"', lastModified: DATE });
    expect(room.text(await room.solve(head), '/d/f')).toBe('two');
    expect(room.ranSteps()).toEqual(['fetch', 'ADD']);
  });

  it('asks by date where there is no ETag, unless the file was changed just before', async () => {
    server.files.set('/old', { body: 'one', lastModified: DATE });
    server.files.set('/new', { body: 'one', lastModified: new Date().toUTCString() });
    for (const path of ['/old', '/old', '/new', '/new']) await room.solve(added(server.url(path)));
    expect(server.requests).toEqual(['GET /old', `GET /old, if-modified-since: ${DATE}`, 'GET /new', 'GET /new']);
  });

  it('does not fetch from a server that ignores conditions but sends the same ETag', async () => {
    const body = Buffer.alloc(64 << 20, 'x');
    server.files.set('/f', { body, etag: '"1"', ignoresConditions: true });
    const { vertex } = source(server.url('/f'));
    const progress: string[] = [];
    const context = {
      signal: new AbortController().signal,
      emit: (event: { readonly type: string }) => progress.push(event.type),
      ignoreCache: false,
    };
    const first = await room.runner().cacheMap(vertex, context);
    expect(progress).toContain('progress');
    progress.length = 0;
    expect(await room.runner().cacheMap(vertex, context)).toEqual(first);
    expect(progress).toEqual([]);
  });

  it('is cached when the body is the same, whatever its date and ETag', async () => {
    server.files.set('/f', { body: 'same', etag: '"1"', lastModified: DATE });
    const head = added(server.url('/f'));
    const first = await room.solve(head);
    server.files.set('/f', { body: 'same', etag: '"2"', lastModified: 'Wed, 03 Jan 2024 03:04:05 GMT' });
    expect(await room.solve(head)).toEqual(first);
    expect(room.ranSteps()).not.toContain('ADD');
  });

  it('fetches again when the body is gone from the store', async () => {
    server.files.set('/f', { body: 'text', etag: '"1"' });
    await room.solve(added(server.url('/f')));
    rmSync(room.store.content.pathOf(digestOf('text')));
    const result = await room.solve(added(server.url('/f'), { flags: { dest: '/e' } }));
    expect(room.text(result, '/e')).toBe('text');
    expect(server.requests).toEqual(['GET /f', 'GET /f']);
  });

  it('takes a checksum’s word and asks nobody on the second build', async () => {
    server.files.set('/f', { body: 'text' });
    const head = added(server.url('/f'), { checksum: digestOf('text') });
    const first = await room.solve(head);
    expect(await room.solve(head)).toEqual(first);
    const other = added(server.url('/f'), { checksum: digestOf('text'), flags: { dest: '/e' } });
    expect(room.text(await room.solve(other), '/e')).toBe('text');
    expect(server.requests).toEqual(['GET /f']);
  });

  it('refuses other bytes than the checksum asks for', async () => {
    server.files.set('/f', { body: 'text' });
    await expect(room.solve(added(server.url('/f'), { checksum: digestOf('other') }))).rejects.toMatchObject({
      code: 'TSB_HTTP_CHECKSUM_MISMATCH',
      message: `digest mismatch ${digestOf('text')}: ${digestOf('other')}`,
      hint: `"${server.url('/f')}" is not the file that --checksum names: check both`,
    });
    const sha512 = `sha512:${createHash('sha512').update('text').digest('hex')}`;
    await expect(room.solve(added(server.url('/f'), { checksum: sha512 }))).rejects.toMatchObject({
      code: 'TSB_HTTP_CHECKSUM_UNSUPPORTED',
      message: `unsupported checksum "${sha512}": only sha256 is`,
    });
  });

  it('says which status a server refused with', async () => {
    await expect(room.solve(added(server.url('/absent?key=1')))).rejects.toMatchObject({
      code: 'TSB_HTTP_STATUS',
      message: 'failed to load cache key: invalid response status 404',
      hint: `check "${server.url('/absent')}"`,
    });
    server.files.set('/closed', (_, response) => response.writeHead(401).end());
    await expect(room.solve(added(server.url('/closed')))).rejects.toMatchObject({
      hint: 'give credentials for 127.0.0.1 with --secret id=HTTP_AUTH_TOKEN_127.0.0.1,env=NAME',
    });
  });

  it('says that nobody answers', async () => {
    await expect(room.solve(added('http://127.0.0.1:1/x'))).rejects.toMatchObject({
      code: 'TSB_HTTP_UNREACHABLE',
      message:
        'failed to load cache key: Get "http://127.0.0.1:1/x": dial tcp 127.0.0.1:1: connect: connection refused',
      hint: 'check that 127.0.0.1:1 is up and reachable from here, and the spelling of its name',
    });
  });

  it('follows redirects and keeps the name of the first URL', async () => {
    server.files.set('/first', (_, response) => response.writeHead(302, { location: '/second' }).end());
    server.files.set('/second', { body: 'text' });
    expect(room.text(await room.solve(added(server.url('/first'))), '/d/first')).toBe('text');
  });

  it('tries again when the connection breaks in the middle of the body', async () => {
    let tries = 0;
    server.files.set('/f', (_, response) => {
      tries += 1;
      response.writeHead(200, { 'content-length': 4 });
      response.write('te');
      if (tries === 1) setImmediate(() => response.destroy());
      else response.end('xt');
    });
    expect(room.text(await room.solve(added(server.url('/f'))), '/d/f')).toBe('text');
    expect(tries).toBe(2);
  });

  it('shows secrets to their host alone, a token before a header', async () => {
    server.files.set('/f', { body: 'text' });
    server.files.set('/moved', (_, response) => {
      const location = server.url('/f').replace('127.0.0.1', 'localhost');
      response.writeHead(302, { location }).end();
    });
    room.secrets.set('HTTP_AUTH_HEADER_127.0.0.1', 'Basic eDp5\n');
    await room.solve(added(server.url('/moved')));
    room.secrets.set('HTTP_AUTH_TOKEN_127.0.0.1', 'secret');
    await room.solve(added(server.url('/f')));
    expect(server.requests).toEqual([
      'GET /moved, authorization: Basic eDp5',
      'GET /f',
      'GET /f, authorization: Bearer secret',
    ]);
  });

  it('unpacks an archive only when asked to', async () => {
    const header = { name: 'x/y', type: 'file', mode: 0o644, uid: 1, gid: 2, mtimeSeconds: 1e9, size: 3 } as const;
    const tar = Buffer.concat([
      encodeTarHeader(header),
      Buffer.from('abc'),
      Buffer.alloc(tarPadding(3) + TAR_END_LENGTH),
    ]);
    server.files.set('/a.tgz', { body: gzipSync(tar) });
    const packed = await room.solve(added(server.url('/a.tgz')));
    expect(room.view(packed).lookup('/d/a.tgz')?.type).toBe('file');
    const unpacked = await room.solve(added(server.url('/a.tgz'), { flags: { attemptUnpack: true } }));
    expect(room.listing(unpacked)).toEqual(['/d dir 0755 0:0', '/d/x dir 0755 0:0', '/d/x/y file 0644 1:2 abc']);
  });
});
