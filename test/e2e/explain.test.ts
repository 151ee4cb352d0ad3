// Sixty edits and more: what each makes run again, as BuildKit's rules say, and the reason that is given for it.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { type Caller, describeRoot, makeBase, outputOf } from './harness.ts';
import { ran } from './ran-steps.ts';

const base = makeBase();

const HOST_ARCH = process.arch === 'arm64' ? 'arm64' : 'amd64';
const DOCKERFILE = `FROM base AS build
ARG USED=1
ENV MODE=prod
COPY src /src
RUN --mount=type=cache,target=/cache echo $USED > /out
FROM base AS other
COPY one.txt two.txt link /other/
COPY --chmod=640 dir/*.txt /wild/
ARG SEEN=1
ARG TARGETARCH
RUN --mount=type=secret,id=token --mount=type=bind,source=bound,target=/bound cat /bound/b > /b
ARG LATE=1
FROM base
WORKDIR /w
COPY --from=build /out /out
COPY --from=other /b /b
RUN cat /out /b
`;

const COPY_SRC = 'COPY src /src';
const RUN_OUT = 'RUN --mount=type=cache,target=/cache echo 1 > /out';
const COPY_FILES = 'COPY one.txt two.txt link /other/';
const COPY_WILD = 'COPY --chmod=640 dir/*.txt /wild/';
const RUN_B = 'RUN --mount=type=secret,id=token --mount=type=bind,source=bound,target=/bound cat /bound/b > /b';
const COPY_OUT = 'COPY --from=build /out /out';
const COPY_B = 'COPY --from=other /b /b';
const RUN_LAST = 'RUN cat /out /b';

const after = (step: string, stage: string): string => `[${stage}] ${step} ran`;
const AFTER_SRC = after(COPY_SRC, 'build 1/3');
const AFTER_WILD = after(COPY_WILD, 'other 2/4');

interface Edit {
  readonly name: string;
  /** Changes the context; may return flags of the second build. */
  readonly edit: (context: string) => unknown;
  /** Each step that runs, and why; none: everything is cached. */
  readonly runs: Readonly<Record<string, string>>;
}

const write =
  (path: string, text: string) =>
  (context: string): void => {
    mkdirSync(join(context, path, '..'), { recursive: true });
    writeFileSync(join(context, path), text);
  };
const inDockerfile =
  (from: string | RegExp, to: string) =>
  (context: string): void => {
    const path = join(context, 'Dockerfile');
    const text = readFileSync(path, 'utf8');
    const edited = text.replace(from, to);
    expect(edited).not.toBe(text);
    writeFileSync(path, edited);
  };
const inContext =
  (run: (at: (path: string) => string) => void) =>
  (context: string): void =>
    run((path) => join(context, path));
const withFlags =
  (...flags: string[]) =>
  (): readonly string[] =>
    flags;
const src = (why: string): Record<string, string> => ({ [COPY_SRC]: why, [RUN_OUT]: AFTER_SRC });
const files = (why: string): Record<string, string> => ({
  [COPY_FILES]: why,
  [COPY_WILD]: after(COPY_FILES, 'other 1/4'),
  [RUN_B]: AFTER_WILD,
});
const wild = (why: string): Record<string, string> => ({ [COPY_WILD]: why, [RUN_B]: AFTER_WILD });

const EDITS: readonly Edit[] = [
  { name: 'nothing', edit: () => {}, runs: {} },
  { name: 'content of a file', edit: write('src/a.js', 'b1\n'), runs: src('src/a.js changed (content)') },
  { name: 'size of a file', edit: write('src/a.js', 'longer than before\n'), runs: src('src/a.js changed (content)') },
  {
    name: 'content of two files',
    edit: (c) => {
      write('src/a.js', 'b2\n')(c);
      write('src/b.js', 'b2\n')(c);
    },
    runs: src('src/a.js changed (content); src/b.js changed (content)'),
  },
  {
    name: 'content of five files',
    edit: (c) => {
      for (const n of [0, 1, 2, 3, 4]) write(`src/f${n}`, 'other\n')(c);
    },
    runs: src('src/f0 changed (content); src/f1 changed (content); src/f2 changed (content); and 2 more'),
  },
  {
    name: 'mode of a file',
    edit: inContext((at) => chmodSync(at('src/a.js'), 0o755)),
    runs: src('src/a.js changed (mode 0644 -> 0755)'),
  },
  {
    name: 'mode and content of a file',
    edit: (c) => {
      write('src/a.js', 'b3\n')(c);
      chmodSync(join(c, 'src/a.js'), 0o600);
    },
    runs: src('src/a.js changed (content); src/a.js changed (mode 0644 -> 0600)'),
  },
  {
    name: 'umask of all files',
    edit: inContext((at) => {
      for (const n of ['a.js', 'b.js', 'f0', 'f1', 'f2', 'f3', 'f4']) chmodSync(at(`src/${n}`), 0o664);
    }),
    runs: src('mode of 7 paths changed alike (0644 -> 0664), as by another umask'),
  },
  {
    name: 'umask of all files, and the content of one',
    edit: inContext((at) => {
      for (const n of ['a.js', 'b.js', 'f0', 'f1', 'f2', 'f3', 'f4']) chmodSync(at(`src/${n}`), 0o646);
      writeFileSync(at('src/b.js'), 'b4\n');
    }),
    runs: src('src/b.js changed (content); mode of 7 paths changed alike (0644 -> 0646), as by another umask'),
  },
  {
    name: 'setuid bit',
    edit: inContext((at) => chmodSync(at('src/a.js'), 0o4644)),
    runs: src('src/a.js changed (mode 0644 -> 4644)'),
  },
  { name: 'owner of a context file', edit: inContext((at) => chownSync(at('src/a.js'), 5, 6)), runs: {} },
  { name: 'mtime of a file', edit: inContext((at) => utimesSync(at('src/a.js'), 1, 1)), runs: {} },
  { name: 'mtime of a directory', edit: inContext((at) => utimesSync(at('src'), 1, 1)), runs: {} },
  { name: 'the same bytes written again', edit: write('src/a.js', 'a\n'), runs: {} },
  {
    name: 'the same bytes in another inode',
    edit: inContext((at) => {
      writeFileSync(at('tmp'), 'a\n');
      renameSync(at('tmp'), at('src/a.js'));
    }),
    runs: {},
  },
  { name: 'an added file', edit: write('src/new.js', 'n\n'), runs: src('src/new.js added') },
  {
    name: 'an added empty directory',
    edit: inContext((at) => mkdirSync(at('src/empty'))),
    runs: src('src/empty added'),
  },
  { name: 'a removed file', edit: inContext((at) => rmSync(at('src/f4'))), runs: src('src/f4 removed') },
  {
    name: 'a renamed file',
    edit: inContext((at) => renameSync(at('src/a.js'), at('src/z.js'))),
    runs: src('src/a.js renamed to src/z.js'),
  },
  {
    name: 'two files swapped',
    edit: inContext((at) => {
      renameSync(at('src/a.js'), at('t'));
      renameSync(at('src/b.js'), at('src/a.js'));
      renameSync(at('t'), at('src/b.js'));
    }),
    runs: src('src/a.js changed (content); src/b.js changed (content)'),
  },
  {
    name: 'a file become a directory',
    edit: inContext((at) => {
      rmSync(at('src/f0'));
      mkdirSync(at('src/f0'));
    }),
    runs: src('src/f0 changed (type file -> dir)'),
  },
  {
    name: 'a file become a link',
    edit: inContext((at) => {
      rmSync(at('src/f0'));
      symlinkSync('f1', at('src/f0'));
    }),
    runs: src('src/f0 changed (type file -> symlink)'),
  },
  {
    name: 'mode of the copied directory',
    edit: inContext((at) => chmodSync(at('src'), 0o700)),
    runs: src('src changed (mode 0755 -> 0700)'),
  },
  {
    name: 'mode of a directory inside',
    edit: inContext((at) => chmodSync(at('src/sub'), 0o711)),
    runs: src('src/sub changed (mode 0755 -> 0711)'),
  },
  { name: 'mode of the context itself', edit: inContext((at) => chmodSync(at('.'), 0o711)), runs: {} },
  {
    name: 'target of an inner link',
    edit: inContext((at) => {
      rmSync(at('src/to'));
      symlinkSync('b.js', at('src/to'));
    }),
    runs: src('src/to changed (link a.js -> b.js)'),
  },
  {
    name: 'target of a link that is copied as what it leads to',
    edit: inContext((at) => {
      rmSync(at('link'));
      symlinkSync('relinked.txt', at('link'));
    }),
    runs: files('link changed (link linked.txt -> relinked.txt); relinked.txt added; linked.txt removed'),
  },
  { name: 'what a link leads to', edit: write('linked.txt', 'changed\n'), runs: files('linked.txt changed (content)') },
  {
    name: 'extended attribute',
    edit: inContext((at) => execFileSync('setfattr', ['-n', 'user.x', '-v', 'y', at('src/a.js')])),
    runs: src('src/a.js changed (xattrs)'),
  },
  { name: 'an ignored file', edit: write('src/ignored.log', 'x\n'), runs: {} },
  { name: 'a file that nothing copies', edit: write('notes.md', 'x\n'), runs: {} },
  {
    name: 'the ignore file, hiding a file',
    edit: write('.dockerignore', '**/*.log\nsrc/f3\n'),
    runs: src('src/f3 removed'),
  },
  {
    name: 'the ignore file, showing a file',
    edit: write('.dockerignore', '# nothing\n'),
    runs: src('src/old.log added'),
  },
  { name: 'a comment in the ignore file', edit: write('.dockerignore', '# logs\n**/*.log\n'), runs: {} },
  { name: 'one of several sources', edit: write('two.txt', 'changed\n'), runs: files('two.txt changed (content)') },
  {
    name: 'a file that a wildcard matches',
    edit: write('dir/a.txt', 'changed\n'),
    runs: wild('dir/a.txt changed (content)'),
  },
  {
    name: 'mode of a file that a wildcard matches',
    edit: inContext((at) => chmodSync(at('dir/a.txt'), 0o600)),
    runs: wild('dir/a.txt changed (mode 0644 -> 0600)'),
  },
  { name: 'a new match of a wildcard', edit: write('dir/new.txt', 'n\n'), runs: wild('dir/new.txt added') },
  {
    name: 'a match renamed',
    edit: inContext((at) => renameSync(at('dir/a.txt'), at('dir/y.txt'))),
    runs: wild('dir/a.txt renamed to dir/y.txt'),
  },
  { name: 'a file beside the wildcard', edit: write('dir/c.md', 'changed\n'), runs: {} },
  {
    name: 'a bind-mounted file',
    edit: write('bound/b', 'bytes\n'),
    runs: {
      [RUN_B]: 'bound/b changed (content)',
      [COPY_B]: 'b changed (content)',
      [RUN_LAST]: after(COPY_B, 'stage-2 3/5'),
    },
  },
  {
    name: 'a build argument',
    edit: withFlags('--build-arg', 'USED=2'),
    runs: {
      'RUN --mount=type=cache,target=/cache echo 2 > /out': 'build arg USED changed: 1 -> 2',
      [COPY_OUT]: 'out changed (content)',
      [COPY_B]: after(COPY_OUT, 'stage-2 2/5'),
      [RUN_LAST]: after(COPY_B, 'stage-2 3/5'),
    },
  },
  {
    name: 'the default of a build argument',
    edit: inDockerfile('USED=1', 'USED=3'),
    runs: {
      'RUN --mount=type=cache,target=/cache echo 3 > /out': 'build arg USED changed: 1 -> 3',
      [COPY_OUT]: 'out changed (content)',
      [COPY_B]: after(COPY_OUT, 'stage-2 2/5'),
      [RUN_LAST]: after(COPY_B, 'stage-2 3/5'),
    },
  },
  {
    name: 'a build argument that is declared above a step that does not use it',
    edit: withFlags('--build-arg', 'SEEN=2'),
    runs: { [RUN_B]: 'build arg SEEN changed: 1 -> 2' },
  },
  { name: 'a build argument that is declared below every step', edit: withFlags('--build-arg', 'LATE=2'), runs: {} },
  { name: 'the platform, named as it is', edit: withFlags(`--platform=linux/${HOST_ARCH}`), runs: {} },
  {
    name: 'the value of a secret and the bytes of a bind-mounted file',
    edit: (c) => {
      write('bound/b', 'other\n')(c);
      return ['--secret', 'id=token,env=OTHER'];
    },
    runs: {
      [RUN_B]: 'bound/b changed (content)',
      [COPY_B]: 'b changed (content)',
      [RUN_LAST]: after(COPY_B, 'stage-2 3/5'),
    },
  },
  {
    name: 'the target and a file that only the other stages read',
    edit: (c) => {
      write('two.txt', 'b8\n')(c);
      return ['--target', 'build'];
    },
    runs: {},
  },
  {
    name: 'the order of stages and a file',
    edit: (c) => {
      inDockerfile(/(FROM base AS build[\s\S]*)(FROM base AS other[\s\S]*)(FROM base\n)/, '$2$1$3')(c);
      write('src/a.js', 'b9\n')(c);
    },
    runs: src('src/a.js changed (content)'),
  },
  {
    name: 'no cache for a line',
    edit: withFlags('--no-cache-filter', 'Dockerfile:5'),
    runs: { [RUN_OUT]: '--no-cache-filter Dockerfile:5' },
  },
  { name: 'a build argument that no stage declares', edit: withFlags('--build-arg', 'NOBODY=2'), runs: {} },
  { name: 'a proxy', edit: withFlags('--build-arg', 'HTTP_PROXY=http://127.0.0.1:1'), runs: {} },
  { name: 'the same value of a build argument', edit: withFlags('--build-arg', 'USED=1'), runs: {} },
  {
    name: 'a variable',
    edit: inDockerfile('MODE=prod', 'MODE=dev'),
    runs: { [RUN_OUT]: 'env MODE changed: prod -> dev' },
  },
  {
    name: 'a new variable',
    edit: inDockerfile('ENV MODE=prod', 'ENV MODE=prod\nENV MORE=1'),
    runs: { [RUN_OUT]: 'env MORE added: 1' },
  },
  {
    name: 'a variable after the last step that sees it',
    edit: inDockerfile('RUN cat /out /b', 'RUN cat /out /b\nENV LATE=1'),
    runs: {},
  },
  { name: 'a label', edit: inDockerfile('WORKDIR /w', 'LABEL a=b\nWORKDIR /w'), runs: {} },
  {
    name: 'the text of an instruction',
    edit: inDockerfile('RUN cat /out /b', 'RUN cat /b /out'),
    runs: { 'RUN cat /b /out': 'instruction changed: RUN cat /out /b -> RUN cat /b /out' },
  },
  {
    name: 'the destination of a copy',
    edit: inDockerfile('COPY src /src', 'COPY src /source'),
    runs: {
      'COPY src /source': 'instruction changed: COPY src /src -> COPY src /source',
      [RUN_OUT]: after('COPY src /source', 'build 1/3'),
    },
  },
  {
    name: 'the mode a copy gives',
    edit: inDockerfile('--chmod=640', '--chmod=600'),
    runs: {
      'COPY --chmod=600 dir/*.txt /wild/': `instruction changed: ${COPY_WILD} -> COPY --chmod=600 dir/*.txt /wild/`,
      [RUN_B]: after('COPY --chmod=600 dir/*.txt /wild/', 'other 2/4'),
    },
  },
  { name: 'a comment', edit: inDockerfile('COPY src', '# a comment\nCOPY src'), runs: {} },
  { name: 'blanks between instructions', edit: inDockerfile('\nFROM base\n', '\n\n\nFROM base\n'), runs: {} },
  { name: 'the case of a keyword', edit: inDockerfile('COPY src', 'copy src'), runs: {} },
  {
    name: 'the name of a stage',
    edit: (c) => {
      inDockerfile('AS other', 'AS another')(c);
      inDockerfile('--from=other', '--from=another')(c);
    },
    runs: {},
  },
  {
    name: 'the order of stages',
    edit: inDockerfile(/(FROM base AS build[\s\S]*)(FROM base AS other[\s\S]*)(FROM base\n)/, '$2$1$3'),
    runs: {},
  },
  {
    name: 'an inserted step',
    edit: inDockerfile('COPY --from=other', 'RUN echo inserted\nCOPY --from=other'),
    runs: {
      'RUN echo inserted': 'new step',
      [COPY_B]: after('RUN echo inserted', 'stage-2 3/6'),
      [RUN_LAST]: after(COPY_B, 'stage-2 4/6'),
    },
  },
  {
    name: 'a removed step',
    edit: inDockerfile(`${COPY_WILD}\n`, ''),
    runs: { [RUN_B]: `stands on [other 1/3] ${COPY_FILES} instead of [other 2/4] ${COPY_WILD}` },
  },
  {
    name: 'the working directory',
    edit: inDockerfile('WORKDIR /w', 'WORKDIR /v'),
    runs: {
      'WORKDIR /v': 'instruction changed: WORKDIR /w -> WORKDIR /v',
      [COPY_OUT]: after('WORKDIR /v', 'stage-2 1/5'),
      [COPY_B]: after(COPY_OUT, 'stage-2 2/5'),
      [RUN_LAST]: `cwd changed: /w -> /v; ${after(COPY_B, 'stage-2 3/5')}`,
    },
  },
  {
    name: 'the user',
    edit: inDockerfile('RUN cat /out', 'USER 1\nRUN cat /out'),
    runs: { [RUN_LAST]: 'user added: 1' },
  },
  { name: 'the target', edit: withFlags('--target', 'build'), runs: {} },
  { name: 'the value of a secret', edit: withFlags('--secret', 'id=token,env=OTHER'), runs: {} },
  {
    name: 'the id of a secret',
    edit: inDockerfile('id=token', 'id=other'),
    runs: {
      [RUN_B.replace('token', 'other')]:
        'mount /run/secrets/token removed: type=secret,id=token,mode=400,uid=0,gid=0; mount /run/secrets/other added: type=secret,id=other,mode=400,uid=0,gid=0',
    },
  },
  {
    name: 'the id of a cache mount',
    edit: inDockerfile('type=cache,', 'type=cache,id=mine,'),
    runs: {
      [RUN_OUT.replace('type=cache,', 'type=cache,id=mine,')]:
        'mount /cache changed: type=cache,id=/cache,sharing=shared -> type=cache,id=mine,sharing=shared',
    },
  },
  {
    // Keys hold neither the id nor the sharing of a mount that has another than the default: the one before has run this.
    name: 'the sharing of a cache mount',
    edit: inDockerfile('type=cache,', 'type=cache,sharing=locked,'),
    runs: {},
  },
  {
    name: 'the target of a cache mount',
    edit: inDockerfile('target=/cache', 'target=/kept'),
    runs: {
      [RUN_OUT.replace('/cache', '/kept')]:
        'mount /cache removed: type=cache,id=/cache,sharing=shared; mount /kept added: type=cache,id=/kept,sharing=shared',
    },
  },
  {
    name: 'the network',
    edit: withFlags('--network', 'none'),
    runs: {
      [RUN_OUT]: 'network changed: default -> none',
      [RUN_B]: 'network changed: default -> none',
      [RUN_LAST]: 'network changed: default -> none',
    },
  },
  {
    name: 'no cache',
    edit: withFlags('--no-cache'),
    runs: Object.fromEntries(
      [COPY_SRC, RUN_OUT, COPY_FILES, COPY_WILD, RUN_B, 'WORKDIR /w', COPY_OUT, COPY_B, RUN_LAST].map((step) => [
        step,
        '--no-cache',
      ]),
    ),
  },
  {
    name: 'no cache for a stage',
    edit: withFlags('--no-cache-filter', 'build'),
    runs: { [COPY_SRC]: '--no-cache-filter build', [RUN_OUT]: '--no-cache-filter build' },
  },
  {
    name: 'a file and an argument',
    edit: (c) => {
      write('src/a.js', 'b5\n')(c);
      return ['--build-arg', 'USED=1'];
    },
    runs: src('src/a.js changed (content)'),
  },
  {
    name: 'a file in each of two stages',
    edit: (c) => {
      write('src/a.js', 'b6\n')(c);
      write('two.txt', 'b6\n')(c);
    },
    runs: { ...src('src/a.js changed (content)'), ...files('two.txt changed (content)') },
  },
  {
    name: 'a variable and a file',
    edit: (c) => {
      write('src/a.js', 'b7\n')(c);
      inDockerfile('MODE=prod', 'MODE=test')(c);
    },
    runs: { [COPY_SRC]: 'src/a.js changed (content)', [RUN_OUT]: `env MODE changed: prod -> test; ${AFTER_SRC}` },
  },
  { name: 'another base image', edit: () => ['--build-context', 'base=OTHER'], runs: {} },
];

describeRoot('explained misses', { needs: ['setfattr'] }, (caller) => {
  let otherBase: string;
  beforeAll(() => {
    otherBase = join(caller.home, 'other-base');
    cpSync(base, otherBase, { recursive: true });
  });

  const build = (context: string, flags: readonly string[]) => {
    const result = caller.tsbuild(
      [
        'build',
        '--progress=plain',
        '--build-context',
        `base=oci-layout://${base}`,
        '--secret',
        'id=token,env=TOKEN',
        ...flags.map((flag) => flag.replace('OTHER', `oci-layout://${otherBase}`)),
        context,
      ],
      { env: { TOKEN: 't', OTHER: 'o' } },
    );
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  };

  for (const [index, { name, edit, runs }] of EDITS.entries()) {
    it(`edit ${index + 1} of ${EDITS.length}: ${name}`, () => {
      const context = makeContext(caller);
      build(context, []);
      const given = edit(context);
      const flags = Array.isArray(given) ? given.map(String) : [];
      expect(ran(build(context, flags))).toEqual(runs);
    });
  }

  it('the base image', () => {
    const context = makeContext(caller);
    const moving = join(caller.home, 'moving');
    const from = ['--build-context', `base=oci-layout://${moving}`];
    cpSync(base, moving, { recursive: true });
    build(context, from);
    rmSync(moving, { recursive: true });
    const changed = join(caller.home, 'changed');
    write('Dockerfile', 'FROM base\nRUN echo new > /etc/new\n')(changed);
    build(changed, ['-o', `type=oci,tar=false,dest=${moving}`]);
    const runs = ran(build(context, from));
    const reason = new RegExp(`^base image ${moving}:?\\S* changed: sha256:[0-9a-f]{12} -> sha256:[0-9a-f]{12}$`);
    expect(runs[COPY_SRC]).toMatch(reason);
    expect(runs[COPY_FILES]).toMatch(reason);
    expect(runs[RUN_OUT]).toBe(AFTER_SRC);
  });

  it('tells all of it afterwards', () => {
    const store = join(caller.home, 'told-store');
    const context = makeContext(caller);
    write('Dockerfile', 'FROM base\nCOPY src /src\nRUN echo said\n')(context);
    const tsbuild = (...args: string[]) => caller.tsbuild(args, { store });
    const make = () => tsbuild('build', '-q', '--build-context', `base=oci-layout://${base}`, context);
    make();
    expect(tsbuild('explain').stdout).toMatch(/\n#6 \[1\/3\] COPY src \/src\n {3}first build\n#7 /);
    for (const n of [0, 1, 2, 3]) write(`src/f${n}`, 'other\n')(context);
    make();
    const lines = [0, 1, 2, 3]
      .map((n) => ` {3}src/f${n} changed \\(content [0-9a-f]{12} -> [0-9a-f]{12}\\)\\n`)
      .join('');
    expect(tsbuild('explain').stdout).toMatch(new RegExp(` {3}cached\\n#6 \\[1/3\\] COPY src /src\\n${lines}#7 `));
    const [latest, first] = tsbuild('history', 'ls', '--json')
      .stdout.trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([latest.status, latest.cached, latest.steps, first.cached]).toEqual(['completed', 1, 3, 0]);
    expect(tsbuild('history', 'logs', `${latest.id}:7`).stdout).toBe('said\n');
    const { steps } = JSON.parse(tsbuild('explain', `${latest.id}:6`, '--json').stdout);
    expect(steps[0].reasons[0]).toMatchObject({ kind: 'path', path: 'src/f0', change: 'content' });
    expect(tsbuild('history', 'inspect', first.id).stdout).toMatch(/^#7 +completed +\d\.\ds +\[2\/3\] RUN echo said$/m);
    expect(tsbuild('history', 'rm', first.id).stdout).toBe(`${first.id}\n`);
    expect(tsbuild('history', 'inspect', first.id).stderr).toContain(`error: no build "${first.id}" is on record`);
    expect(tsbuild('explain', `${latest.id}:99`).stderr).toContain(`error: build ${latest.id} has no step 99`);
  });
});

function makeContext(caller: Caller): string {
  const context = join(caller.home, `context-${Math.random().toString(36).slice(2)}`);
  const texts: Record<string, string> = {
    Dockerfile: DOCKERFILE,
    '.dockerignore': '**/*.log\n',
    'one.txt': '1\n',
    'two.txt': '2\n',
    'linked.txt': 'l\n',
    'relinked.txt': 'r\n',
    'dir/a.txt': 'a\n',
    'dir/b.txt': 'b\n',
    'dir/c.md': 'c\n',
    'bound/b': 'bound\n',
    'src/a.js': 'a\n',
    'src/b.js': 'b\n',
    'src/sub/deep': 'd\n',
    'src/old.log': 'l\n',
  };
  for (let n = 0; n < 5; n += 1) texts[`src/f${n}`] = `${n}\n`;
  for (const [path, text] of Object.entries(texts)) write(path, text)(context);
  symlinkSync('a.js', join(context, 'src/to'));
  symlinkSync('linked.txt', join(context, 'link'));
  return context;
}
