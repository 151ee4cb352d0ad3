// Contexts behind URLs, other stages as contexts, and the times that SOURCE_DATE_EPOCH can name.
import { describe, expect, it } from 'vitest';
import { parseRemoteContext } from '../../frontend/remote-context.ts';
import { convertText, errorsOf, messageOf } from './convert-dockerfile.ts';

describe('a context by its URL', () => {
  it.each([
    ['https://h/x.git#main:sub', 'git://h/x.git#main:sub', 'https://h/x.git'],
    ['https://h/x.git?ref=main&subdir=sub', 'git://h/x.git#main:sub', 'https://h/x.git'],
    ['http://u:p@h:81/x.git', 'git://h:81/x.git', 'http://u:p@h:81/x.git'],
    ['git://h/x', 'git://h/x', 'git://h/x'],
    ['git@h:x/y.git#v1', 'git://h/x/y.git#v1', 'git@h:x/y.git'],
    ['ssh://git@h:22/x', 'git://h:22/x', 'ssh://git@h:22/x'],
    ['github.com/moby/buildkit#master:docs', 'git://github.com/moby/buildkit#master:docs', 'github.com/moby/buildkit'],
  ])('%s is a repository', (text, identifier, fullURL) => {
    const context = parseRemoteContext(text);
    expect(context).toMatchObject({ kind: 'git', op: { identifier, attrs: { 'git.fullurl': fullURL } } });
    expect(context?.shownAs).not.toContain('p@');
    expect(context?.op.attrs['git.mountsshsock']).toBe(/^(git@|ssh)/.test(text) ? 'default' : undefined);
    expect(context?.op.attrs['git.keepgitdir']).toBeUndefined();
    expect(parseRemoteContext(text, { keepGitDir: true })?.op.attrs['git.keepgitdir']).toBe('true');
  });

  it('anything else on a web server is a file', () => {
    expect(parseRemoteContext('https://u@h/x.tar.gz', { name: 'n' })).toEqual({
      kind: 'http',
      op: { kind: 'source', identifier: 'https://u@h/x.tar.gz', attrs: { 'http.filename': 'context' } },
      shownAs: '[context n] https://h/x.tar.gz',
    });
  });

  it.each(['dir', './x.git', 'oci-layout://x', 'docker-image://x', 'http://', 'C:/x'])('%s is none', (text) => {
    expect(parseRemoteContext(text)).toBeUndefined();
  });
});

describe('a stage as a named context', () => {
  const contexts = (stage: string) => ({ namedContexts: { other: { kind: 'stage', stage } as const } });

  it('stands for an image with its config, and may come later in the file', async () => {
    const text = 'FROM other\nCOPY a /\nFROM scratch AS Late\nENV K=V\nCOPY b /\n';
    const { config, definition } = await convertText(text, { ...contexts('late'), target: 'late' });
    expect(config.config.Env).toContain('K=V');
    expect(definition.vertices).toHaveLength(2);
    const first = `FROM other AS first\nCOPY a /\n${text.slice(text.indexOf('FROM scratch'))}`;
    const upon = await convertText(first, { ...contexts('late'), target: 'first' });
    expect(upon.config.config.Env).toContain('K=V');
    expect(upon.definition.vertices.map(({ options }) => options.name)).toContain('[first 1/2] COPY a /');
  });

  it('must be there, and must not need itself', async () => {
    expect(await messageOf('FROM other\nRUN x\n', contexts('nosuch'))).toBe('target stage "nosuch" could not be found');
    expect(await messageOf('FROM other AS a\nFROM a\n', contexts('a'))).toBe(
      'circular dependency detected on stage: a',
    );
    expect(await messageOf('FROM scratch AS a\nCOPY --from=other x /\nFROM a\n', contexts('a'))).toBe(
      'circular dependency detected on stage: a',
    );
  });
});

describe('SOURCE_DATE_EPOCH', () => {
  it.each([
    ['nosuch', 'FROM scratch\n', 'invalid SOURCE_DATE_EPOCH: nosuch'],
    ['s', 'FROM base AS s\nFROM scratch\n', 'SOURCE_DATE_EPOCH stage must use FROM scratch'],
    ['s', 'FROM scratch AS s\nFROM scratch\n', 'SOURCE_DATE_EPOCH stage must contain exactly one remote ADD'],
    [
      's',
      'FROM scratch AS s\nADD http://h/a /\nADD http://h/b /\nFROM scratch\n',
      'SOURCE_DATE_EPOCH stage must contain exactly one remote ADD',
    ],
    [
      's',
      'FROM scratch AS s\nADD http://h/a http://h/b /\nFROM scratch\n',
      'SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source',
    ],
    [
      's',
      'FROM scratch AS s\nCOPY a /\nFROM scratch\n',
      'SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported copy instruction',
    ],
    [
      's',
      'FROM scratch AS s\nADD a /\nFROM scratch\n',
      'SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD',
    ],
  ])('%s is refused where it means nothing (%j)', async (epoch, text, message) => {
    const [error] = await errorsOf(text, { buildArgs: { SOURCE_DATE_EPOCH: epoch } });
    expect(error?.message).toBe(message);
    expect(error?.code).toBe('TSB_DOCKERFILE_EPOCH_INVALID');
    expect(error?.range?.start.line).toBe(epoch === 's' ? 1 : undefined);
  });
});

describe('RUN --device', () => {
  it('is refused in the words of the frontend that has no devices', async () => {
    const [error] = await errorsOf('FROM scratch\nRUN --device=vendor.com/gpu=0 x\n');
    expect(error?.message).toBe('device feature is only supported in Dockerfile frontend 1.14.0-labs or later');
    expect(error?.range?.start.line).toBe(2);
  });
});

describe('an image for another operating system', () => {
  it('41 [testDefaultShellAndPath] has its PATH and its shell', async () => {
    const text = 'FROM scratch\nENTRYPOINT foo bar\nCOPY Dockerfile .\n';
    const windows = await convertText(text, { targetPlatform: { os: 'windows', architecture: 'amd64' } });
    expect(windows.config).toMatchObject({
      os: 'windows',
      config: { Entrypoint: ['cmd', '/S', '/C', 'foo bar'], Env: ['PATH=c:\\Windows\\System32;c:\\Windows'] },
    });
    const linux = await convertText(text);
    expect(linux.config).toMatchObject({
      os: 'linux',
      config: {
        Entrypoint: ['/bin/sh', '-c', 'foo bar'],
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      },
    });
  });
});
