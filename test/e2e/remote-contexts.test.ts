// Build contexts and named contexts that are repositories or on a web server, seen from outside.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GIT, GitServer } from '../remote/git-server.ts';
import { SSH, SSHServer } from '../remote/ssh-server.ts';
import { type Caller, type ContextFiles, describeCallers, describeRoot, outputOf, writeContext } from './harness.ts';
import { WEB, WebServer } from './web-server.ts';

/** A repository's daemon and a web server, for the tests of one `describe`. */
function startServers(): { readonly git: GitServer; readonly web: WebServer } {
  const git = new GitServer();
  const web = new WebServer();
  beforeAll(async () => {
    await Promise.all([git.listen(), web.listen()]);
  });
  afterAll(() => {
    git.close();
    web.close();
  });
  return { git, web };
}

const FILES = {
  Dockerfile: 'FROM scratch\nCOPY . /\n',
  'a.txt': 'one',
  '.dockerignore': 'a.txt\n',
  'sub/Dockerfile': 'FROM scratch\nCOPY f /from-sub\n',
  'sub/f': 'text',
};

/** What one build left. */
interface Built {
  readonly text: string;
  /** The output directory. */
  readonly out: string;
  readonly status: number | null;
}

function buildAs(caller: Caller, args: readonly string[], options: Parameters<Caller['tsbuild']>[1] = {}): Built {
  const out = mkdtempSync(join(caller.home, 'out-'));
  if (caller.prefix.length > 0) execFileSync('chmod', ['0777', out]);
  const result = caller.tsbuild(['--progress=plain', '-o', join(out, 'o'), ...args], options);
  return { text: outputOf(result), out: join(out, 'o'), status: result.status };
}

describeCallers('a context elsewhere', { needs: [GIT, ...WEB, 'xz', 'zstd', 'bzip2'] }, (caller) => {
  const { git, web } = startServers();
  const built = (args: readonly string[]): Built => {
    const result = buildAs(caller, args);
    expect(result.status, result.text).toBe(0);
    return result;
  };
  const tarOf = (files: ContextFiles, ...flags: string[]): Buffer =>
    execFileSync('tar', ['--mtime=@1500000000', ...flags, '-c', '.'], { cwd: writeContext(caller, files) });

  it('79 [testDockerfileFromGit] is a repository, without .git, and no ignore file applies', () => {
    git.commit('app', FILES);
    const first = built([git.url('app')]);
    expect(first.text).toContain(`[internal] load git source ${git.url('app')}\n`);
    expect(readdirSync(first.out).sort()).toEqual(['.dockerignore', 'Dockerfile', 'a.txt', 'sub']);
    const again = built([git.url('app')]);
    expect(again.text).toMatch(/COPY \. \/\n#\d+ CACHED\n/);
    expect(again.text).toMatch(/load git source \S+\n#\d+ CACHED\n/);
    expect(again.text.match(/load git source/g)).toHaveLength(1);
    const kept = built(['--build-arg', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR=1', git.url('app')]);
    expect(existsSync(join(kept.out, '.git/HEAD'))).toBe(true);
  });

  it('79 [testDockerfileFromGit] has a branch and a directory, in both forms, and -f inside', () => {
    git.commit('app', FILES);
    for (const url of [`${git.url('app')}#main:sub`, `${git.url('app')}?ref=main&subdir=sub`]) {
      expect(readFileSync(join(built([url]).out, 'from-sub'), 'utf8')).toBe('text');
    }
    const other = buildAs(caller, ['-f', 'sub/Dockerfile', git.url('app')]);
    expect(other.text).toContain('"/f": not found');
    expect(other.text).toMatch(/^sub\/Dockerfile:2\n/m);
    const missing = buildAs(caller, [`${git.url('app')}#nosuch`]);
    expect(missing.text).toContain('error: failed to load cache key: repository does not contain ref nosuch');
    expect(missing.status).toBe(1);
    const wrong = buildAs(caller, [`${git.url('app')}?branch=a&tag=b`]);
    expect(wrong.text).toContain('error: branch conflicts with tag\n');
  });

  it.each(caller.name === 'root' ? ['', '-z', '-j', '-J', '--zstd'] : ['-z'])(
    '79 [testDockerfileFromHTTP] is an archive on a web server (tar %s)',
    (flag) => {
      const path = `${caller.name}/c${flag}.tar`;
      web.put(path, tarOf(FILES, ...(flag === '' ? [] : [flag])));
      const { text, out } = built([web.url(path)]);
      expect(text).toContain('[internal] load remote build context\n');
      expect(readFileSync(join(out, 'a.txt'), 'utf8')).toBe('one');
      if (flag !== '-z') return;
      expect(built([web.url(path)]).text).toMatch(/COPY \. \/\n#\d+ CACHED\n/);
      expect(web.requests().filter((line) => line.includes(path))).toEqual([`GET /${path} 200`, `GET /${path} 304`]);
    },
  );

  it('79 [testHTTPDockerfile] is a Dockerfile on a web server', () => {
    web.put('plain', 'FROM scratch\nCOPY context /it\n');
    expect(readFileSync(join(built([web.url('plain')]).out, 'it'), 'utf8')).toContain('COPY context');
    web.put('wrong', 'FROM scratch\nRNU x\n');
    const wrong = buildAs(caller, [web.url('wrong')]);
    expect(wrong.text).toMatch(/^context:2\n/m);
    expect(wrong.text).toContain('unknown instruction: RNU (did you mean RUN?)');
  });

  it('is the place of -f -, and of a Dockerfile of this machine by its absolute path', () => {
    git.commit('app', FILES);
    const text = 'FROM scratch\nCOPY a.txt /here\n';
    const piped = buildAs(caller, ['-f', '-', git.url('app')], { input: text });
    expect(readFileSync(join(piped.out, 'here'), 'utf8')).toBe('one');
    const local = join(writeContext(caller, { 'Other.Dockerfile': text }), 'Other.Dockerfile');
    expect(readFileSync(join(built(['-f', local, git.url('app')]).out, 'here'), 'utf8')).toBe('one');
  });

  it('80 [testNamedImageContext] named contexts are repositories, files of a web server, stages and directories', () => {
    git.commit('lib', { 'src/l': 'from git' });
    web.put('data', 'from the web');
    const directory = writeContext(caller, { d: 'from a directory', no: '', '.dockerignore': 'no\n' });
    const context = writeContext(caller, {
      Dockerfile: [
        'FROM scratch AS made',
        'COPY <<E /m',
        'from a stage',
        'E',
        'FROM replaced AS upon',
        'COPY --from=web context /w',
        'COPY --from=other m /m',
        'FROM scratch AS dir',
        'RUN exit 1',
        'FROM upon',
        'COPY --from=dir / /',
        'COPY --from=lib src/l /l',
      ].join('\n'),
    });
    const { out, text } = built([
      ...['--build-context', `lib=${git.url('lib')}`, '--build-context', `web=${web.url('data')}`],
      ...['--build-context', `replaced=${directory}`, '--build-context', `dir=${git.url('lib')}#main:src`],
      ...['--build-context', 'other=target:made', '--build-context', 'unused=git://127.0.0.1:1/x', context],
    ]);
    expect(['d', 'l', 'm', 'w'].map((name) => readFileSync(join(out, name), 'utf8').trim())).toEqual([
      'from a directory',
      'from git',
      'from a stage',
      'from the web',
    ]);
    expect(existsSync(join(out, 'no'))).toBe(false);
    expect(text).toContain(`[context web] ${web.url('data')}\n`);
    expect(text).not.toContain('unused');
  });

  it('83 a source policy converts and denies what is fetched', () => {
    web.put('asked', 'asked for');
    web.put('mirrored', 'from the mirror');
    const rules = [
      {
        action: 'CONVERT',
        selector: { identifier: web.url('asked') },
        updates: { identifier: web.url('mirrored') },
      },
      { action: 'DENY', selector: { identifier: 'git://*' } },
    ];
    const context = writeContext(caller, {
      Dockerfile: `FROM scratch\nADD ${web.url('asked')} /f\n`,
      'policy.json': JSON.stringify({ rules }),
    });
    const policy = ['--source-policy-file', join(context, 'policy.json')];
    const { out } = built([...policy, context]);
    expect(readFileSync(join(out, 'f'), 'utf8')).toBe('from the mirror');
    const refused = buildAs(caller, [...policy, git.url('app')]);
    expect(refused.text).toContain(
      `error: error evaluating the source policy: source "${git.url('app')}" denied by policy: source denied by policy\n`,
    );
    expect(buildAs(caller, ['--source-policy-file', '/no/such', context]).text).toContain(
      'error: failed to read source policy file: cannot read /no/such: ENOENT\n',
    );
  });

  it('leaves nothing behind in the store', () => {
    git.commit('app', { Dockerfile: 'FROM scratch\nRNU\n' });
    buildAs(caller, [git.url('app')]);
    expect(caller.run('sh', ['-c', 'ls "$TSBUILD_ROOT/tmp"; ls /tmp | grep tsbuild-hosts']).stdout).toBe('');
  });
});

describeRoot('SOURCE_DATE_EPOCH', { needs: [GIT, ...WEB] }, (caller) => {
  const { git, web } = startServers();

  /** The config's time in seconds; undefined for a time near now. */
  function created(epoch: string | undefined, ...args: readonly string[]): number | undefined {
    const layout = mkdtempSync(join(caller.home, 'layout-'));
    const flags = epoch === undefined ? [] : ['--build-arg', `SOURCE_DATE_EPOCH=${epoch}`];
    const result = caller.tsbuild([...flags, '-o', `type=oci,tar=false,dest=${layout}/l`, ...args]);
    expect(result.status, outputOf(result)).toBe(0);
    const config = join(layout, 'l/blobs/sha256', result.stdout.trim().slice('sha256:'.length));
    const time = Date.parse((JSON.parse(readFileSync(config, 'utf8')) as { created: string }).created) / 1000;
    rmSync(layout, { recursive: true });
    return Date.now() / 1000 - time < 3600 ? undefined : time;
  }

  const COMMIT_TIME = Date.parse('2024-01-02T03:04:05Z') / 1000;
  const plain = 'FROM scratch\nCOPY <<E /f\nE\n';

  it('context is the time of the commit, of the file on the server, and none of a directory', () => {
    git.commit('epoch', { Dockerfile: plain });
    expect(created('context', git.url('epoch'))).toBe(COMMIT_TIME);
    expect(created(undefined, git.url('epoch'))).toBeUndefined();
    web.put('epoch', plain, 1_500_000_000);
    expect(created('context', web.url('epoch'))).toBe(1_500_000_000);
    expect(created('context', writeContext(caller, { Dockerfile: plain }))).toBeUndefined();
  });

  it('is the time of a named context, or of a stage that ADDs something remote', () => {
    git.commit('epoch', { f: '' });
    web.put('dated', 'x', 1_400_000_000);
    const context = writeContext(caller, { Dockerfile: plain });
    expect(created('src', '--build-context', `src=${git.url('epoch')}`, context)).toBe(COMMIT_TIME);
    expect(created('src', '--build-context', `src=${web.url('dated')}`, context)).toBe(1_400_000_000);
    expect(created('src', '--build-context', `src=${context}`, context)).toBeUndefined();
    const staged = writeContext(caller, {
      Dockerfile: `ARG SOURCE_DATE_EPOCH=when\nFROM scratch AS when\nARG PLACE=${web.url('')}\nADD \${PLACE}dated /\n${plain}`,
    });
    expect(created(undefined, staged)).toBe(1_400_000_000);
    expect(created('7', staged)).toBe(7);
  });
});

describeRoot('a context over ssh', { needs: [GIT, ...SSH, ...WEB] }, (caller) => {
  const { git } = startServers();
  const ssh = new SSHServer();
  beforeAll(() => ssh.listen());
  afterAll(() => ssh.close());

  it('is fetched with the key of the user’s own agent; ADD needs --ssh', () => {
    git.commit('private', { Dockerfile: 'FROM scratch\nCOPY f /\n', f: 'secret' });
    const url = ssh.url(git.pathOf('private'));
    const env = { SSH_AUTH_SOCK: ssh.socket };
    const context = buildAs(caller, [url], { env });
    expect(context.status, context.text).toBe(0);
    expect(readFileSync(join(context.out, 'f'), 'utf8')).toBe('secret');
    const add = writeContext(caller, { Dockerfile: `FROM scratch\nADD ${url} /\n` });
    const without = buildAs(caller, [add], { env });
    expect(without.text).toContain('error: failed to load cache key: no SSH key "default" forwarded from the client\n');
    expect(without.text).toContain('hint: give an agent or a key with --ssh default\n');
    const added = buildAs(caller, ['--ssh', 'default', add], { env });
    expect(readFileSync(join(added.out, 'f'), 'utf8')).toBe('secret');
    const withKey = buildAs(caller, ['--no-cache', '--ssh', `default=${join(ssh.directory, 'user')}`, add]);
    expect(withKey.status, withKey.text).toBe(0);
    expect(spawnSync('sh', ['-c', 'ls /tmp | grep tsbuild-hosts']).status).not.toBe(0);
  });
});
