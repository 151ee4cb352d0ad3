import { describe, expect, it } from 'vitest';
import { rootKey } from '../../solver/cache-key.ts';
import { cacheMapOf } from '../../solver/cache-map.ts';
import { type Digest, digestOf, parseDigest } from '../../solver/digest.ts';
import type { CopyAction, DiffOp, ExecMount, ExecOp, FileAction, FileOp, MergeOp } from '../../solver/op.ts';
import type { CacheMap } from '../../solver/op-runner.ts';
import { httpSourceDigest, layersSourceDigest } from '../../solver/source-key.ts';
import { hasVectors, readVector } from './corpus.ts';
import { opFromJSON } from './llb-fixture.ts';

const linux = { os: 'linux', architecture: 'amd64' };
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const root: ExecMount = { input: 0, dest: '/', output: 0, type: 'bind' };

function mapOf(op: ExecOp | FileOp | MergeOp | DiffOp, inputCount = 2): CacheMap {
  return cacheMapOf(op, inputCount, linux);
}

function recordOf(op: ExecOp | FileOp | MergeOp, inputCount?: number): Digest {
  return rootKey(mapOf(op, inputCount).digest, 0);
}

function run(script: string, mounts: readonly ExecMount[] = [root], meta: Partial<ExecOp['meta']> = {}): ExecOp {
  const args = ['/bin/sh', '-c', script];
  return {
    kind: 'exec',
    meta: { args, env: [PATH], cwd: '/', ...meta },
    mounts,
    network: 'sandbox',
    security: 'sandbox',
  };
}

function copy(src: string, dest: string, more: Partial<CopyAction> = {}): CopyAction {
  return {
    action: 'copy',
    input: 0,
    secondaryInput: 1,
    output: 0,
    src,
    dest,
    mode: -1,
    followSymlink: true,
    dirCopyContents: true,
    createDestPath: true,
    allowWildcard: true,
    allowEmptyWildcard: true,
    ...more,
  };
}

function file(...actions: FileAction[]): FileOp {
  return { kind: 'file', actions };
}

const onScratch = { input: -1, secondaryInput: 0 };
const app = { user: { name: 'app', input: 0 } };
const workdir = { action: 'mkdir' as const, input: 0, secondaryInput: -1, output: 0, mode: 0o755, makeParents: true };
const data = Buffer.from('hello /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n');
const mkfile: FileAction = {
  action: 'mkfile',
  input: -1,
  secondaryInput: -1,
  output: 0,
  path: '/E1',
  mode: 0o644,
  data,
};
const heredocCopy: CopyAction = {
  action: 'copy',
  input: 0,
  secondaryInput: 1,
  output: 0,
  src: '/E1',
  dest: '/hd',
  mode: -1,
  createDestPath: true,
};
const runCache: ExecMount = {
  input: -1,
  dest: '/root/.cache',
  output: -1,
  type: 'cache',
  cache: { id: '//root/.cache', sharing: 'shared' },
};
const runMounts: readonly ExecMount[] = [
  root,
  { input: 1, selector: '/dir', dest: '/src', output: -1, readonly: true, type: 'bind' },
  { input: -1, dest: '/t', output: -1, type: 'tmpfs' },
  {
    input: -1,
    dest: '/run/secrets/s1',
    output: -1,
    type: 'secret',
    secret: { id: 's1', uid: 0, gid: 0, mode: 0o400, optional: true },
  },
];
const env = [PATH, 'A=1', 'V=3'];

type Steps = Readonly<Record<string, { readonly op: ExecOp | FileOp | MergeOp; readonly inputCount: number }>>;

const set1: Steps = {
  'COPY busybox (scratch)': { op: file(copy('/busybox', '/bin/sh', onScratch)), inputCount: 1 },
  'COPY foo /dst/': { op: file(copy('/foo', '/dst/')), inputCount: 2 },
  RUN: { op: run('echo hi > /out && cat </dst/foo'), inputCount: 1 },
  'RUN cache mount': { op: run('echo c > /root/.cache/x; echo y > /y', [root, runCache]), inputCount: 1 },
};

const set2: Steps = {
  'COPY busybox': { op: file(copy('/busybox', '/bin/sh', onScratch)), inputCount: 1 },
  'COPY etc': { op: file(copy('/etc', '/etc/')), inputCount: 2 },
  'COPY dir': { op: file(copy('/dir', '/d/')), inputCount: 2 },
  'COPY foo bar': { op: file(copy('/foo', '/m/', { output: -1 }), copy('/bar', '/m/', { input: 2 })), inputCount: 2 },
  'COPY fo*': { op: file(copy('/fo*', '/w/')), inputCount: 2 },
  '--chown=app': { op: file(copy('/foo', '/owned', { owner: app })), inputCount: 2 },
  '--chmod=u+x': { op: file(copy('/foo', '/x', { modeStr: 'u+x' })), inputCount: 2 },
  '--chmod=0600': { op: file(copy('/foo', '/x6', { mode: 0o600 })), inputCount: 2 },
  'heredoc mkfile': { op: file(mkfile), inputCount: 0 },
  'heredoc copy': { op: file(heredocCopy), inputCount: 2 },
  WORKDIR: { op: file({ ...workdir, path: '/work/a' }), inputCount: 1 },
  'WORKDIR as app': { op: file({ ...workdir, path: '/work/b', owner: app }), inputCount: 1 },
  'RUN bind+secret+tmpfs': { op: run('ls /src', runMounts, { env, cwd: '/work/a' }), inputCount: 2 },
  'RUN id as app': { op: run('id', [root], { env, cwd: '/work/b', user: 'app' }), inputCount: 1 },
  'COPY --from=b /d/a': { op: file(copy('/d/a', '/z')), inputCount: 2 },
  'COPY --link': { op: file(copy('/foo', '/lnk', onScratch)), inputCount: 1 },
  'ADD --link': { op: file(copy('/bar', '/lnk2/', { ...onScratch, attemptUnpack: true })), inputCount: 1 },
  'merge(2 records)': { op: { kind: 'merge', inputs: [0, 1] }, inputCount: 2 },
};

describe('cacheMapOf', () => {
  it.skipIf(!hasVectors)('gives the steps of set 1 the record digests BuildKit exported', () => {
    const records = readVector('set1/records.json');
    expect(recordsOf(set1)).toEqual(withoutContents(records));
  });

  it.skipIf(!hasVectors)('gives the steps of set 2 the record digests BuildKit exported', () => {
    const records = readVector('set2/records.json');
    expect(recordsOf(set2)).toEqual(withoutContents(records, 'heredoc mkfile'));
  });

  it.skipIf(!hasVectors)(
    'gives set 3 the record digests BuildKit exported, the base image by its layers included',
    () => {
      const records = readVector('set3/records.json');
      const { layers } = readVector('set3/cache-manifest.json');
      const base = ['0661', '607c', 'aed7', 'afa1', 'b0f6'].map((start) =>
        layers.find((layer: { digest: string }) => layer.digest.startsWith(`sha256:${start}`)),
      );
      const diffIDs = base.map((layer) => parseDigest(layer.annotations['containerd.io/uncompressed']));
      expect(recordOf(run('echo 1 >/one'))).toBe(records.RUN);
      expect(rootKey(layersSourceDigest(diffIDs), 0)).toBe(records['image chainID key']);
    },
  );

  it.skipIf(!hasVectors)('gives the measured LLB of set 2 the same record digests as the ops made by hand', () => {
    const { def } = readVector('set2/convertllb-target-b.json');
    const records = new Set<string>(Object.values(readVector('set2/records.json')));
    type Step = { source?: unknown; file?: unknown; exec?: unknown; inputs?: unknown[] };
    const steps = Object.values<Step>(def).filter((json) => json.file ?? json.exec);
    const unknown = steps.filter(
      (json) => !records.has(recordOf(opFromJSON(json) as ExecOp | FileOp, json.inputs?.length ?? 0)),
    );
    expect(steps).toHaveLength(14);
    expect(unknown).toEqual([]);
  });

  it.skipIf(!hasVectors)('gives the inputs of sets 1 and 2 the selectors BuildKit exported', () => {
    for (const [set, steps] of [
      ['set1', set1],
      ['set2', set2],
    ] as const) {
      const { records } = readVector(`${set}/cacheconfig.json`);
      const mapOfRecord = new Map(
        Object.values(steps).map(({ op, inputCount }) => [recordOf(op, inputCount), mapOf(op, inputCount)]),
      );
      for (const record of records.filter(({ inputs }: ExportedRecord) => inputs)) {
        const { inputs = [] } = mapOfRecord.get(record.digest) ?? {};
        expect(inputs).toHaveLength(record.inputs.length);
        record.inputs.forEach((links: ExportedLink[], index: number) => {
          // Links to a content have no selector; links to a step have the one of the cache map.
          const toSteps = links.filter(
            ({ link }) => inputs[index]?.contentSelectors === undefined || records[link].inputs,
          );
          for (const { selector } of toSteps) expect(selector).toBe(inputs[index]?.selector);
        });
      }
    }
  });

  it('gives the documented digests', () => {
    expect(mapOf(run('echo hi > /out && cat </dst/foo')).digest).toBe(
      'sha256:71befe143b6fa933ccc3e61a5bf18c921f37e2d6d42608e7ef530ebce41c9589',
    );
    expect(mapOf(file(copy('/foo', '/dst/'))).digest).toBe(
      'sha256:d0182de58a5a00517e0cf254e496415b5b69086202c27d3ceceffea05de981bf',
    );
    const runCached = mapOf(run('echo c > /root/.cache/x; echo y > /y', [root, runCache]));
    expect(runCached.digest).toBe('sha256:2a2badd1ce1fab5e2b6da6e6dbe22db39e6007cadc4d1c1f3fb1888efae8edc0');
  });
});

describe('the digest of a RUN', () => {
  const digest = (op: ExecOp) => mapOf(op).digest;

  it('has neither addresses of extra hosts nor proxy variables', () => {
    const hosts = (ip: string) => run('x', [root], { extraHosts: [{ host: 'h', ip }] });
    expect(digest(hosts('1.1.1.1'))).toBe(digest(hosts('2.2.2.2')));
    expect(digest(hosts('1.1.1.1'))).not.toBe(digest(run('x')));
    expect(digest(run('x', [root], { proxyEnv: { HTTP_PROXY: 'p' } }))).toBe(digest(run('x')));
  });

  it('forgets a cache id that is not the default one', () => {
    const withCache = (id: string, sharing: 'shared' | 'locked' = 'shared') =>
      digest(run('x', [root, { ...runCache, cache: { id, sharing } }]));
    expect(withCache('/mine')).toBe(withCache('/yours', 'locked'));
    expect(withCache('/root/.cache')).not.toBe(withCache('/mine'));
    expect(withCache('ns//root/.cache')).not.toBe(withCache('/mine'));
    expect(withCache('//root/.cache', 'locked')).toBe(withCache('/mine'));
  });

  it('has the platform, network, security, secrets and limits', () => {
    const all: ExecOp[] = [
      run('x'),
      { ...run('x'), platform: { os: 'linux', architecture: 'arm64' } },
      { ...run('x'), platform: { os: 'linux', architecture: 'arm', variant: 'v7' } },
      { ...run('x'), network: 'none' },
      { ...run('x'), security: 'insecure' },
      { ...run('x'), secretEnv: [{ id: 's', name: 'S', optional: false }] },
      run('x', [root], { ulimits: [{ name: 'nofile', soft: 1, hard: 2 }] }),
      run('x', [root], { hostname: 'h' }),
      run('x', [{ ...root, readonly: true }]),
    ];
    expect(new Set(all.map(digest)).size).toBe(all.length);
  });
});

describe('inputs of a RUN', () => {
  it('count the root mount by definition and a bind mount also by content', () => {
    const [rootInput, bind] = mapOf(run('ls /src', runMounts)).inputs;
    expect(rootInput).toEqual({
      selector: 'sha256:8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1',
    });
    expect(bind).toEqual({
      selector: digestOf('/dir'),
      contentSelectors: [{ path: '/dir', wildcard: false, followLinks: true }],
    });
  });

  it('count all of an input that is mounted whole', () => {
    const mount: ExecMount = { input: 1, dest: '/all', output: 1, type: 'bind' };
    expect(mapOf(run('x', [root, mount])).inputs[1]?.contentSelectors).toEqual([
      { path: '/', wildcard: false, followLinks: false },
    ]);
  });

  it('count a part that is written and kept by definition only', () => {
    const mount: ExecMount = { input: 1, selector: 'part/', dest: '/p', output: 1, type: 'bind' };
    expect(mapOf(run('x', [root, mount])).inputs[1]).toEqual({ selector: digestOf('/part') });
  });

  it('join the paths of two mounts of one input in mount order, and hash the outermost', () => {
    const mount = (selector: string): ExecMount => ({ input: 1, selector, dest: selector, output: -1, type: 'bind' });
    const [, input] = mapOf(run('x', [root, mount('/b/c'), mount('/b'), mount('/a')])).inputs;
    expect(input?.selector).toBe(digestOf('/b/c\0/b\0/a'));
    expect(input?.contentSelectors?.map(({ path }) => path)).toEqual(['/a', '/b']);
  });
});

describe('inputs of a COPY', () => {
  it('count the base by definition and the source also by content, paths joined in descending order', () => {
    const op = file(copy('/foo', '/m/', { output: -1 }), copy('/zoo', '/m/', { input: 2 }));
    expect(mapOf(op).inputs).toEqual([
      {},
      {
        selector: digestOf('/zoo\0/foo'),
        contentSelectors: [
          { path: '/foo', wildcard: false, followLinks: true },
          { path: '/zoo', wildcard: false, followLinks: true },
        ],
      },
    ]);
  });

  it('count a source that is also written onto by definition only', () => {
    expect(mapOf(file(copy('/a', '/b', { secondaryInput: 0 })), 1).inputs).toEqual([{}]);
  });

  it('leave wildcards, patterns and required paths to the content', () => {
    const parents = copy('/', '/p/', { includePatterns: ['p/*.txt'], requiredPaths: ['/p/q/one.txt'] });
    const [, input] = mapOf(file(copy('/a/fo*', '/w/', { output: -1 }), { ...parents, input: 2 })).inputs;
    expect(input?.contentSelectors).toEqual([
      {
        path: '/',
        wildcard: false,
        followLinks: true,
        includePatterns: ['p/*.txt'],
        requiredPaths: ['/p/q/one.txt'],
      },
      { path: '/a/fo*', wildcard: true, followLinks: true },
    ]);
  });

  it('take an escaped wildcard as a plain name', () => {
    const [, input] = mapOf(file(copy('/a\\*', '/w/'))).inputs;
    expect(input?.contentSelectors?.[0]?.wildcard).toBe(false);
  });

  it('add the passwd and group files of the input that --chown names are read from, unless it is the destination', () => {
    const owner = { user: { name: 'app', input: 1 }, group: { name: 'staff', input: 1 } };
    const [, input] = mapOf(file(copy('/foo', '/a', { owner }))).inputs;
    expect(input?.contentSelectors?.map(({ path }) => path)).toEqual(['/etc/group', '/etc/passwd', '/foo']);
    expect(input?.selector).toBe(digestOf('/foo\0/etc/passwd\0/etc/group'));
    expect(mapOf(file(copy('/foo', '/a', { owner: app }))).inputs[0]).toEqual({});
  });

  it('take the base name of a source for the digest, where it comes from an input', () => {
    const digest = (src: string) => mapOf(file(copy(src, '/d'))).digest;
    expect(digest('/a/foo')).toBe(digest('/b/foo/'));
    expect(digest('/a/foo')).not.toBe(digest('/a/bar'));
    expect(digest('/')).not.toBe(digest(''));
  });
});

describe('merge and diff', () => {
  it('count every input by definition', () => {
    expect(mapOf({ kind: 'merge', inputs: [0, 1] })).toEqual({
      digest: digestOf('{"Type":"buildkit.merge.v0","Merge":{"inputs":[{},{"input":1}]}}'),
      inputs: [{}, {}],
    });
    expect(mapOf({ kind: 'diff', lower: 0, upper: 1 }).digest).toBe(
      digestOf('{"Type":"buildkit.diff.v0","Diff":{"lower":{},"upper":{"input":1}}}'),
    );
  });
});

describe('content and source keys', () => {
  const data0 = parseDigest('sha256:cd8e75bca50f2d695f220d0cb0997d8ead387e4f926e8669a92d7f104cc9885b');
  const data1 = parseDigest('sha256:c2b5e234f5f38fc5864da7def04782f82501a40d46192e4207d5b3f0c3c4732b');

  it.skipIf(!hasVectors)('gives measured contents the record digests BuildKit exported', () => {
    const records = readVector('set2/records.json');
    expect(rootKey(digestOf([data0].join('\0')), -1)).toBe(records['content foo']);
    expect(rootKey(digestOf([data1].join('\0')), -1)).toBe(records['content bar']);
    expect(rootKey(digestOf([data1, data0].join('\0')), -1)).toBe(records['content bar,foo (sorted)']);
  });

  it('keys a download by name, body and time', () => {
    const key = { filename: 'f', checksum: data0, lastModified: 'Tue, 02 Jan 2024 03:04:05 GMT' };
    const json = `{"Filename":"f","Perm":0,"UID":0,"GID":0,"Checksum":"${data0}","LastModTime":"${key.lastModified}"}`;
    expect(httpSourceDigest(key)).toBe(digestOf(`buildkit.source.v0:${digestOf(json)}`));
  });
});

interface ExportedLink {
  readonly selector?: string;
  readonly link: number;
}

interface ExportedRecord {
  readonly digest: string;
  readonly inputs?: readonly (readonly ExportedLink[])[];
}

function recordsOf(steps: Steps): Record<string, string> {
  return Object.fromEntries(
    Object.entries(steps).map(([name, { op, inputCount }]) => [name, recordOf(op, inputCount)]),
  );
}

/** The records of ops alone; a vertex without inputs has one key for both its op and its content. */
function withoutContents(records: Record<string, string>, ...kept: string[]): Record<string, string> {
  const entries = Object.entries(records);
  return Object.fromEntries(
    entries.filter(([name]) => kept.includes(name) || !/^content |^heredoc content/.test(name)),
  );
}
