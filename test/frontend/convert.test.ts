// What conversion does with stages, variables, contexts and names, seen in the graph and the config that come out.
import { describe, expect, test } from 'vitest';
import type { Conversion } from '../../frontend/convert-options.ts';
import { cacheMapOf } from '../../solver/cache-map.ts';
import { convertText, execOf, fileOf, historyOf, opOf, sourceOf, stepNames } from './convert-dockerfile.ts';
import { FakeImageResolver, LINUX_AMD64 } from './fake-image-resolver.ts';

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const LINUX_ARM64 = { os: 'linux', architecture: 'arm64' };

function debian(config = {}) {
  return new FakeImageResolver({ 'docker.io/library/debian:latest': { config, layerCount: 2 } });
}

describe('stages', () => {
  test('FROM scratch alone gives an empty definition', async () => {
    const { definition, config } = await convertText('FROM scratch\n');
    expect(definition).toEqual({ vertices: [], head: undefined });
    expect(config).toEqual({
      architecture: 'amd64',
      os: 'linux',
      config: { Env: [PATH], WorkingDir: '/' },
      rootfs: { type: 'layers', diff_ids: [] },
      history: [],
    });
  });

  test('only the images of stages that are needed are looked up, each once', async () => {
    const resolver = debian();
    await convertText('FROM nosuch AS x\nRUN a\nFROM debian AS y\nFROM debian:latest\nCOPY --from=y /a /a\nRUN b\n', {
      resolver,
    });
    expect(resolver.asked).toEqual(['docker.io/library/debian:latest']);
  });

  test('the base’s config, history and layers are inherited, its triggers and time are not', async () => {
    const resolver = debian({ Env: ['A=1'], Cmd: ['sh'], User: 'app', WorkingDir: '/srv', OnBuild: ['ENV T=1'] });
    const conversion = await convertText('FROM debian\nENV B=2\n', { resolver });
    expect(conversion.config.config).toEqual({
      Env: ['A=1', PATH, 'T=1', 'B=2'],
      Cmd: ['sh'],
      User: 'app',
      WorkingDir: '/srv',
    });
    expect(historyOf(conversion)).toEqual(['layer 0', 'layer 1', 'ENV T=1', 'ENV B=2']);
    expect(conversion.config.created).toBeUndefined();
    expect(conversion.baseDiffIDs).toHaveLength(2);
    expect(conversion.baseHistoryLength).toBe(2);
    expect(conversion.config.rootfs.diff_ids).toEqual([]);
  });

  test('an image without layers is scratch', async () => {
    const resolver = new FakeImageResolver({ 'docker.io/library/empty:latest': { layerCount: 0 } });
    const { definition } = await convertText('FROM empty\nENV A=1\n', { resolver });
    expect(definition.head).toBeUndefined();
  });

  test('an equal step of two stages is one vertex', async () => {
    const text =
      'FROM debian AS a\nRUN same\nFROM debian AS b\nRUN same\nFROM scratch\nCOPY --from=a /x /\nCOPY --from=b /y /\n';
    const { definition } = await convertText(text, { resolver: debian() });
    expect(definition.vertices.filter(({ op }) => op.kind === 'exec')).toHaveLength(1);
  });

  test('triggers of a stage fire in its child and are not passed on', async () => {
    const text =
      'FROM scratch AS base\nONBUILD COPY --from=other /o /o\nFROM scratch AS other\nCOPY o /o\nFROM base AS child\nFROM child\nCOPY x /\n';
    const conversion = await convertText(text);
    expect(stepNames(conversion)).toContain('[child 1/1] ONBUILD COPY --from=other /o /o');
    expect(historyOf(conversion)).toEqual(['COPY /o /o # buildkit', 'COPY x / # buildkit']);
    expect(conversion.config.config.OnBuild).toBeUndefined();
  });

  test('a number names a stage', async () => {
    const conversion = await convertText('FROM scratch\nCOPY a /\nFROM scratch\nCOPY --from=0 /a /b\n');
    expect(stepNames(conversion)).toContain('[stage-0 1/1] COPY a /');
  });
});

describe('variables', () => {
  test('ENV changes a variable in place in the config, and moves it to the end for RUN', async () => {
    const conversion = await convertText('FROM scratch\nENV A=1 B=2\nENV A=3\nRUN x\n');
    expect(conversion.config.config.Env).toEqual([PATH, 'A=3', 'B=2']);
    expect(execOf(conversion, 'RUN x').meta.env).toEqual([PATH, 'B=2', 'A=3']);
  });

  test('pairs of one ENV see what was before it, args of one ARG see each other', async () => {
    const conversion = await convertText('FROM scratch\nARG a=1 b=$a-x\nENV c=1 d=$c-$b\nRUN x\n');
    expect(execOf(conversion, 'RUN x').meta.env).toEqual([PATH, 'a=1', 'b=1-x', 'c=1', 'd=-1-x']);
  });

  test('a global ARG is seen in FROM and where it is declared again', async () => {
    const text = 'ARG V=latest\nARG W=w\nFROM debian:$V\nARG W\nRUN x\n';
    const conversion = await convertText(text, { resolver: debian() });
    expect(execOf(conversion, 'RUN x').meta.env).toEqual([PATH, 'W=w']);
    expect(historyOf(conversion).at(-1)).toBe('RUN |1 W=w /bin/sh -c x # buildkit');
  });

  test('a build arg wins over a default, which is then not looked at', async () => {
    const conversion = await convertText(`FROM scratch\nARG A=\${B:?no B}\nRUN x\n`, { buildArgs: { A: '1' } });
    expect(execOf(conversion, 'RUN x').meta.env).toEqual([PATH, 'A=1']);
  });

  test('an ARG that was never given is in the history, not in the environment', async () => {
    const conversion = await convertText('FROM scratch\nARG A\nARG B=\nRUN x\n');
    expect(execOf(conversion, 'RUN x').meta.env).toEqual([PATH, 'B=']);
    expect(historyOf(conversion)).toEqual(['ARG A', 'ARG B=', 'RUN |2 A= B= /bin/sh -c x # buildkit']);
  });

  test('a child stage keeps the args of its parent', async () => {
    const conversion = await convertText('FROM scratch AS a\nARG A=1\nFROM a\nRUN x\n');
    expect(execOf(conversion, 'RUN x').meta.env).toEqual(['A=1', PATH]);
    expect(conversion.config.config.Env).toEqual([PATH]);
  });

  test('platform args are there once declared', async () => {
    const text = 'FROM scratch AS x\nARG TARGETPLATFORM\nARG BUILDARCH\nARG TARGETVARIANT\nARG TARGETSTAGE\nRUN x\n';
    const conversion = await convertText(text, { targetPlatform: { os: 'linux', architecture: 'arm', variant: 'v7' } });
    expect(execOf(conversion, 'RUN x').meta.env.slice(1)).toEqual([
      'TARGETPLATFORM=linux/arm/v7',
      'BUILDARCH=amd64',
      'TARGETVARIANT=v7',
      'TARGETSTAGE=x',
    ]);
  });

  test('proxies reach RUN without a trace in its environment or history', async () => {
    const conversion = await convertText('FROM scratch\nRUN x\n', { buildArgs: { http_proxy: 'http://p' } });
    const { meta } = execOf(conversion, 'RUN x');
    expect(meta.env).toEqual([PATH]);
    expect(meta.proxyEnv).toEqual({ HTTP_PROXY: 'http://p', http_proxy: 'http://p' });
    expect(historyOf(conversion)).toEqual(['RUN /bin/sh -c x # buildkit']);
  });
});

describe('metadata', () => {
  const configOf = async (text: string, options = {}): Promise<Conversion['config']['config']> =>
    (await convertText(text, options)).config.config;

  test('ENTRYPOINT drops an inherited CMD and keeps the stage’s own', async () => {
    const resolver = debian({ Cmd: ['inherited'] });
    expect((await configOf('FROM debian\nENTRYPOINT ["e"]\n', { resolver })).Cmd).toBeUndefined();
    expect((await configOf('FROM debian\nCMD ["c"]\nENTRYPOINT ["e"]\n', { resolver })).Cmd).toEqual(['c']);
  });

  test('labels of the command line win', async () => {
    expect((await configOf('FROM scratch\nLABEL b=1 a=1\n', { labels: { a: '2', c: '3' } })).Labels).toEqual({
      a: '2',
      b: '1',
      c: '3',
    });
  });

  test('HEALTHCHECK NONE is kept as such', async () => {
    const conversion = await convertText('FROM scratch\nHEALTHCHECK NONE\n');
    expect(conversion.config.config.Healthcheck).toEqual({ Test: ['NONE'] });
    expect(historyOf(conversion)).toEqual([
      'HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}',
    ]);
  });

  test('SHELL is used by what follows', async () => {
    const conversion = await convertText('FROM scratch\nSHELL ["/bin/bash", "-c"]\nRUN x\nCMD y\n');
    expect(execOf(conversion, 'RUN x').meta.args).toEqual(['/bin/bash', '-c', 'x']);
    expect(conversion.config.config.Cmd).toEqual(['/bin/bash', '-c', 'y']);
  });

  test('WORKDIR / makes nothing, a relative one starts at the one before', async () => {
    const conversion = await convertText('FROM scratch\nWORKDIR /\nWORKDIR a\nWORKDIR ../b\n');
    expect(conversion.config.history.map(({ created_by, empty_layer }) => [created_by, empty_layer])).toEqual([
      ['WORKDIR /', true],
      ['WORKDIR /a', undefined],
      ['WORKDIR /b', undefined],
    ]);
    expect(stepNames(conversion)).toEqual(['[1/3] WORKDIR a', '[2/3] WORKDIR ../b']);
  });
});

describe('platforms', () => {
  test('an explicit platform marks the image, whatever the base says', async () => {
    const { config } = await convertText('FROM debian\n', { resolver: debian(), targetPlatform: LINUX_ARM64 });
    expect(config.architecture).toBe('arm64');
  });

  test('without a wish, a base of another platform that this machine runs decides', async () => {
    const resolver = new FakeImageResolver({ 'docker.io/library/debian:latest': { platform: LINUX_ARM64 } });
    const options = { resolver, isTargetImplicit: true, buildPlatform: LINUX_ARM64 };
    const conversion = await convertText('FROM debian\nRUN x\n', options);
    expect(conversion.config.architecture).toBe('arm64');
    expect(execOf(conversion, 'RUN x').platform).toEqual(LINUX_ARM64);
  });

  test('several platforms are told apart in the step names', async () => {
    const text = 'FROM scratch AS a\nFROM --platform=$BUILDPLATFORM debian AS b\nARG TARGETARCH\nRUN x\n';
    const options = { resolver: debian(), targetPlatform: LINUX_ARM64, isMultiPlatform: true };
    const names = stepNames(await convertText(text, options));
    expect(names[0]).toMatch(/^\[linux\/amd64 b 1\/2\] FROM docker\.io\/library\/debian:latest@sha256:/);
    expect(names[1]).toBe('[linux/amd64->arm64 b 2/2] RUN x');
  });
});

describe('contexts', () => {
  test('only the paths that are copied are asked of the build context', async () => {
    const conversion = await convertText(
      'FROM scratch\nCOPY ./b/../a *.txt /\nADD c /\nRUN --mount=target=/m,source=d x\n',
    );
    expect(conversion.contexts).toEqual([{ name: 'context', paths: ['*.txt', 'a', 'c', 'd'] }]);
    expect(sourceOf(conversion, 'load build context')).toEqual({
      kind: 'source',
      identifier: 'local://context',
      attrs: { 'local.sharedkeyhint': 'context', 'local.followpaths': '["*.txt","a","c","d"]' },
    });
  });

  test('COPY . needs all of it, and ignore patterns go along', async () => {
    const conversion = await convertText('FROM scratch\nCOPY . /\n', { ignorePatterns: ['a<b', '!x'] });
    expect(conversion.contexts).toEqual([{ name: 'context', paths: undefined }]);
    expect(sourceOf(conversion, 'load build context').attrs).toEqual({
      'local.sharedkeyhint': 'context',
      'local.excludepatterns': '["a\\u003cb","!x"]',
    });
  });

  test('a named context replaces an image', async () => {
    const resolver = debian();
    const namedContexts = { 'docker.io/library/alpine:latest': { kind: 'image', reference: 'debian' } } as const;
    const conversion = await convertText('FROM alpine\nRUN x\n', { resolver, namedContexts });
    expect(stepNames(conversion)[0]).toMatch(
      /^\[context docker\.io\/library\/alpine:latest\] docker\.io\/library\/debian/,
    );
  });

  test('a named context replaces a stage, whose instructions are then not looked at', async () => {
    const namedContexts = { base: { kind: 'local' } } as const;
    const text = 'FROM nosuch AS base\nRUN never\nFROM scratch\nCOPY --from=base /a/b /c\n';
    const conversion = await convertText(text, { namedContexts });
    expect(conversion.contexts).toEqual([{ name: 'base', paths: ['a/b'] }]);
    expect(sourceOf(conversion, '[context base] load from client').identifier).toBe('local://base');
  });

  test('a named context for one platform is only for that one', async () => {
    const namedContexts = { 'x::linux/arm64': { kind: 'scratch' } } as const;
    await expect(convertText('FROM x\n', { namedContexts })).rejects.toThrow('not found');
    await expect(convertText('FROM x\n', { namedContexts, targetPlatform: LINUX_ARM64 })).resolves.toBeDefined();
  });

  test('a broken named context that nobody uses does no harm', async () => {
    const namedContexts = { x: { kind: 'image', reference: 'nosuch' } } as const;
    await expect(convertText('FROM scratch\nCOPY a /\n', { namedContexts })).resolves.toBeDefined();
  });
});

describe('SOURCE_DATE_EPOCH', () => {
  test('stamps the directories that WORKDIR makes, and their keys', async () => {
    const keyOf = async (epoch: string) => {
      const conversion = await convertText('FROM scratch\nWORKDIR /a\n', { buildArgs: { SOURCE_DATE_EPOCH: epoch } });
      const op = fileOf(conversion, 'WORKDIR /a');
      const { digest } = cacheMapOf(op, 0, LINUX_AMD64);
      return { action: op.actions[0], digest };
    };
    const stamped = await keyOf('1700000000');
    expect(stamped.action).toMatchObject({ action: 'mkdir', timestampMs: 1700000000000 });
    expect((await keyOf('1700000001')).digest).not.toBe(stamped.digest);
    expect((await keyOf('')).action).not.toHaveProperty('timestampMs');
  });

  test('stamps the history that is ours', async () => {
    const { config, epochMs } = await convertText('FROM debian\nENV A=1\n', {
      resolver: debian(),
      buildArgs: { SOURCE_DATE_EPOCH: '1700000000' },
    });
    expect(epochMs).toBe(1700000000000);
    expect(config.history.at(0)?.created).toBeUndefined();
    expect(config.history.at(-1)?.created).toBe('2023-11-14T22:13:20Z');
  });

  test('takes a global default, and is reset by an empty build arg', async () => {
    const text = 'ARG SOURCE_DATE_EPOCH=5\nFROM scratch\n';
    expect((await convertText(text)).epochMs).toBe(5000);
    expect((await convertText(text, { buildArgs: { SOURCE_DATE_EPOCH: '' } })).epochMs).toBeUndefined();
  });

  test('anything else is refused', async () => {
    await expect(convertText('FROM scratch\n', { buildArgs: { SOURCE_DATE_EPOCH: 'x' } })).rejects.toThrow(
      'invalid SOURCE_DATE_EPOCH: x',
    );
  });

  test.each([
    '253402300800',
    '8640000000001',
    '99999999999999',
    '9223372036854775807',
    '-62167219201',
    '-8640000000001',
  ])('%s is refused: an image names years of four digits', async (epoch) => {
    const refused = { code: 'TSB_DOCKERFILE_EPOCH_INVALID', message: `invalid SOURCE_DATE_EPOCH: ${epoch}` };
    const byArg = convertText('FROM scratch\nWORKDIR /a\n', { buildArgs: { SOURCE_DATE_EPOCH: epoch } });
    await expect(byArg).rejects.toMatchObject(refused);
    await expect(convertText(`ARG SOURCE_DATE_EPOCH=${epoch}\nFROM scratch\n`)).rejects.toMatchObject(refused);
  });

  test('the last second of the year 9999 is a time', async () => {
    const { config } = await convertText('FROM scratch\nENV A=1\n', {
      buildArgs: { SOURCE_DATE_EPOCH: '253402300799' },
    });
    expect(config.history.at(-1)?.created).toBe('9999-12-31T23:59:59Z');
  });
});

describe('step names', () => {
  test('stages, numbers and padding are as BuildKit’s', async () => {
    const runs = Array.from({ length: 10 }, (_unused, n) => `RUN r${n}\n`).join('');
    const names = stepNames(
      await convertText(`FROM debian AS b\n${runs}FROM b\nRUN $HOME "q" $PATH\n`, { resolver: debian() }),
    );
    expect(names[0]).toMatch(/^\[b {2}1\/11\] FROM /);
    expect(names[1]).toBe('[b  2/11] RUN r0');
    expect(names[10]).toBe('[b 11/11] RUN r9');
    expect(names[11]).toBe(`[stage-1 1/1] RUN $HOME "q" ${PATH.slice('PATH='.length)}`);
  });

  test('--no-cache marks every step, or those of a stage', async () => {
    const text = 'FROM scratch AS a\nRUN x\nWORKDIR /w\nFROM a AS b\nRUN y\n';
    const marked = async (options: object) =>
      (await convertText(text, options)).definition.vertices.filter(({ options: { ignoreCache } }) => ignoreCache)
        .length;
    expect(await marked({ noCache: true })).toBe(3);
    expect(await marked({ noCacheStages: ['B'] })).toBe(1);
  });

  test('every step knows its lines', async () => {
    const { definition } = await convertText('FROM scratch\nRUN a && \\\n  b\n');
    expect(definition.vertices[0]?.options.range).toEqual({
      file: 'Dockerfile',
      start: { line: 2, column: 1 },
      end: { line: 4, column: 1 },
    });
  });
});

describe('COPY and ADD', () => {
  const copyOf = async (text: string) => {
    const conversion = await convertText(`FROM scratch\nWORKDIR /w\n${text}\n`);
    return fileOf(conversion, text.split('\n', 1)[0] ?? '').actions[0];
  };

  test.each([
    ['COPY a b', '/w/b'],
    ['COPY a .', '/w/'],
    ['COPY a ./', '/w/'],
    ['COPY a x/.', '/w/x/.'],
    ['COPY a /', '/'],
    ['COPY a /x/../y/', '/y/'],
  ])('%s copies to %s', async (text, dest) => {
    expect(await copyOf(text)).toMatchObject({ dest, src: '/a', mode: -1 });
  });

  test('sources cannot leave the context', async () => {
    expect(await copyOf('COPY ../../a b')).toMatchObject({ src: '/a' });
  });

  test('owners by number need no lookup, names are looked up in the destination', async () => {
    expect(await copyOf('COPY --chown=1:app a b')).toMatchObject({
      owner: { user: { id: 1 }, group: { name: 'app', input: 0 } },
    });
  });

  test('ADD unpacks unless told not to', async () => {
    expect(await copyOf('ADD a b')).toMatchObject({ attemptUnpack: true });
    expect(await copyOf('ADD --unpack=false a b')).not.toHaveProperty('attemptUnpack');
  });

  test('--parents copies a pattern, right of the pivot', async () => {
    expect(await copyOf('COPY --parents p/q/one.txt b/')).toMatchObject({
      src: '/',
      includePatterns: ['p/q/one.txt'],
      requiredPaths: ['/p/q/one.txt'],
    });
    expect(await copyOf('COPY --parents ./p/./*.txt b/')).toMatchObject({ src: '/p', includePatterns: ['*.txt'] });
    expect(await copyOf('COPY --parents ./p/./*.txt b/')).not.toHaveProperty('requiredPaths');
  });

  test('--exclude goes to every action', async () => {
    expect(await copyOf('COPY --exclude=*.md --exclude=q a b')).toMatchObject({ excludePatterns: ['*.md', 'q'] });
  });

  test('--link copies into an empty tree and merges it', async () => {
    const conversion = await convertText('FROM scratch\nWORKDIR /w\nCOPY --link a b\n');
    expect(opOf(conversion, 'LINK COPY --link a b')).toEqual({ kind: 'merge', inputs: [0, 1] });
    expect(fileOf(conversion, '] COPY --link a b').actions[0]).toMatchObject({ input: -1, dest: '/w/b' });
    const groups = conversion.definition.vertices.flatMap(({ options }) => options.progressGroup ?? []);
    expect(new Set(groups.map(({ id }) => id)).size).toBe(1);
  });

  test('--link with --chmod is an ordinary copy', async () => {
    const conversion = await convertText('FROM scratch\nWORKDIR /w\nCOPY --link --chmod=600 a b\n');
    expect(conversion.definition.vertices.some(({ op }) => op.kind === 'merge')).toBe(false);
  });

  test('several heredocs are files of their own', async () => {
    const conversion = await convertText('FROM scratch\nENV V=1\nCOPY <<a <<-"b" /d/\n$V\na\n\t$V\nb\n');
    const documents = conversion.definition.vertices.flatMap(({ op }) =>
      op.kind === 'file' ? op.actions.flatMap((action) => (action.action === 'mkfile' ? [action] : [])) : [],
    );
    expect(documents.map(({ path, mode, data }) => [path, mode, Buffer.from(data).toString()])).toEqual([
      ['/a', 0o644, '1\n'],
      ['/b', 0o644, '$V\n'],
    ]);
  });

  test('ADD of a URL is a source of its own', async () => {
    const checksum = `sha256:${'0'.repeat(64)}`;
    const conversion = await convertText(`FROM scratch\nADD --checksum=${checksum} http://h/p/f.tar?x=1 /d/\n`);
    const [source, copy] = conversion.definition.vertices;
    expect(source?.op).toEqual({
      kind: 'source',
      identifier: 'http://h/p/f.tar?x=1',
      attrs: { 'http.filename': 'f.tar', 'http.checksum': checksum },
    });
    expect(copy?.op).toEqual({
      kind: 'file',
      actions: [
        {
          action: 'copy',
          input: -1,
          secondaryInput: 0,
          output: 0,
          src: '/f.tar',
          dest: '/d/',
          mode: -1,
          createDestPath: true,
        },
      ],
    });
    expect(conversion.contexts).toEqual([]);
  });

  test('ADD of a repository names its ref and directory', async () => {
    const conversion = await convertText('FROM scratch\nADD https://h/x/y.git#main:sub /d\n');
    expect(conversion.definition.vertices[0]?.op).toMatchObject({
      identifier: 'git://h/x/y.git#main:sub',
      attrs: { 'git.fullurl': 'https://h/x/y.git' },
    });
  });
});
