// Attempts to get out by the context, by what is fetched, by mounts and limits, and by the other commands that start processes.
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GIT, GitServer } from '../remote/git-server.ts';
import { BUSYBOX, buildWith, busyboxLayer, handOver, Outside, tarOf, USERS, writeLayout } from './escape/rig.ts';
import { hasPrograms, itNeeding, MEMORY_TREE } from '../needs.ts';
import { type ContextFiles, describeCallers, describeRoot, outputOf, writeContext } from './harness.ts';

describeCallers('hostile input', { needs: ['root', BUSYBOX] }, (caller) => {
  const isOwner = caller.name === 'root';
  let outside: Outside;
  let base = '';
  beforeAll(() => {
    outside = new Outside(caller);
    const link = { name: 'l', type: 'symlink' as const, linkName: outside.dir };
    base = writeLayout(caller, [busyboxLayer(), tarOf([...USERS, link])]);
  });

  const build = (
    steps: string,
    files: ContextFiles = {},
    flags: readonly string[] = [],
    env: Record<string, string> = {},
  ) =>
    buildWith(
      caller,
      writeContext(caller, { Dockerfile: `FROM base\n${steps}\n`, f: 'file', ...files }),
      { base },
      { flags, env },
    );
  const nothingChanged = (): void => expect(outside.changes()).toEqual([]);
  const archive = (entries: Parameters<typeof tarOf>[0]): ContextFiles => ({ 'a.tar': tarOf(entries) });

  it.each([
    [201, 'COPY l/canary /got'],
    [202, 'COPY l/* /got/'],
    [203, 'COPY up/canary /got'],
    [204, 'COPY ../outside /got'],
    [205, 'COPY file-link/canary /got'],
    [206, 'RUN --mount=type=bind,source=l,target=/m cat /m/canary'],
    [207, 'RUN --mount=type=bind,source=../../l,target=/m cat /m/canary'],
    [208, 'ADD l/canary /got'],
  ])('%d %s does not reach out of the context', (_number, step) => {
    const up = `../../../../../../../..${outside.dir}`;
    const links = { l: { link: outside.dir }, up: { link: up }, 'file-link': { link: outside.canary } };
    const { text } = build(`${step}\nRUN cat /got /got/*`, links);
    expect(text).not.toContain(outside.secret);
    nothingChanged();
  });

  it('209 COPY of a whole context takes links as links', () => {
    const { text } = build('COPY . /all\nRUN cat /all/l/canary /all/c', {
      l: { link: outside.dir },
      c: { link: outside.canary },
    });
    expect(text).not.toContain(outside.secret);
  });

  it('210 a pipe in the context holds nobody up', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY . /all\nRUN ls -l /all\n' });
    execFileSync('mkfifo', [join(context, 'pipe')]);
    handOver(caller, context);
    expect(buildWith(caller, context, { base }).status).not.toBeNull();
  });

  it.each([
    [211, 'COPY f /l/made'],
    [212, 'COPY f /l/../../../../../../made-too'],
    [213, 'COPY --chmod=777 f /l/canary'],
    [214, 'COPY --link f /l/made'],
    [215, 'WORKDIR /l/made'],
    [216, 'COPY <<made /l/\nx\nmade'],
    [217, 'COPY --parents f /l/'],
  ])('%d %s writes inside', (_number, step) => {
    const { status, text } = build(step);
    expect(status, text).toBe(0);
    nothingChanged();
  });

  it.each([
    [218, '../made'],
    [219, 'd/../../made'],
    [220, '/../made'],
  ])('%d an archive with %s is refused', (_number, name) => {
    const { status, text } = build('ADD a.tar /d/', archive([{ name, text: 'x' }]));
    expect(text).toContain(`error: refused to unpack "${name}": the name leads out of the root`);
    expect(status).toBe(1);
    nothingChanged();
  });

  it('221 links of an archive do not lead out', () => {
    const entries = [
      { name: 'x', type: 'symlink' as const, linkName: outside.dir },
      { name: 'x/made', text: 'x' },
      { name: 'x/canary', text: 'x' },
      { name: 'y', type: 'symlink' as const, linkName: `../../../../../..${outside.dir}` },
      { name: 'y/made', text: 'x' },
    ];
    expect(build('ADD a.tar /d/\nADD a.tar /l/', archive(entries)).status).toBe(0);
    nothingChanged();
  });

  it('222 a hard link of an archive to the host is refused', () => {
    const { status } = build('ADD a.tar /d/', archive([{ name: 'h', type: 'link', linkName: outside.canary }]));
    expect(status).toBe(1);
  });

  it('223 an archive that unpacks beyond the limit is stopped', () => {
    const zeros = tarOf([{ name: 'zeros', text: Buffer.alloc(40 << 20) }]);
    const context = { 'a.tar': execFileSync('gzip', ['-9c'], { input: zeros, maxBuffer: 1 << 28 }) };
    const { status, text } = build('ADD a.tar /d/', context, [], { TSBUILD_UNPACK_LIMIT: '10m' });
    expect(text).toContain('error: refused to unpack an archive: "zeros" alone is larger than 10 MiB\n');
    expect(status).toBe(1);
    const wrong = build('ADD a.tar /d/', context, ['--no-cache'], { TSBUILD_UNPACK_LIMIT: 'much' });
    expect(wrong.text).toContain('error: invalid TSBUILD_UNPACK_LIMIT "much": expected a size such as 200g');
  });

  it('224 a context from standard input does not unpack outside', () => {
    const tar = tarOf([
      { name: 'Dockerfile', text: 'FROM scratch\nCOPY . /\n' },
      { name: 'x', type: 'symlink', linkName: outside.dir },
      { name: 'x/made', text: 'x' },
    ]);
    const result = caller.tsbuild(['build', '--progress=plain', '-'], { input: tar });
    expect(outputOf(result)).not.toContain(outside.secret);
    const up = caller.tsbuild(['build', '--progress=plain', '-'], { input: tarOf([{ name: '../made', text: 'x' }]) });
    expect(outputOf(up)).toContain('the name leads out of the root');
    nothingChanged();
  });

  it('225 a Dockerfile in an archive that is a link shows nothing of the host', () => {
    const tar = tarOf([{ name: 'Dockerfile', type: 'symlink', linkName: outside.canary }]);
    const result = caller.tsbuild(['build', '--progress=plain', '-'], { input: tar });
    expect(result.status).toBe(1);
    expect(outputOf(result)).not.toContain(outside.secret);
  });

  it.each([
    [247, '.dockerignore'],
    [248, 'Dockerfile'],
  ])('%d a %s that never ends is not read to its end', (_number, name) => {
    const context = writeContext(
      caller,
      name === 'Dockerfile'
        ? { Dockerfile: { link: '/dev/zero' } }
        : { Dockerfile: 'FROM base\n', '.dockerignore': { link: '/dev/zero' } },
    );
    const { status, text } = buildWith(caller, context, { base });
    expect(text).toContain(`error: failed to read dockerfile: ${name} has more than 16 MiB\n`);
    expect(status).toBe(1);
  });

  it('226 a read-only mount cannot be written', () => {
    const { text } = build(
      'RUN --mount=type=bind,source=f,target=/m/f (echo x >/m/f || chmod 777 /m/f || rm /m/f) && echo WRITTEN; true',
    );
    expect(text).not.toMatch(/^#\d+ [\d.]+ WRITTEN$/m);
  });

  it('227 what a step writes to a mount of a stage stays with the step', () => {
    const steps =
      'FROM base AS one\nRUN echo good >/data\nFROM base\nRUN --mount=type=bind,from=one,target=/m,rw echo bad >/m/data; chmod 777 /m/data\nCOPY --from=one /data /got\nRUN cat /got; stat -c mode:%a /got';
    const { text } = build(steps);
    expect(text).toMatch(/^#\d+ [\d.]+ good$/m);
    expect(text).toMatch(/^#\d+ [\d.]+ mode:644$/m);
  });

  it('228 a file that snapshots share is changed in one of them only', () => {
    const big = 'x'.repeat(100_000);
    const steps =
      'COPY big /a/\nFROM base\nCOPY big /a/\nRUN echo changed >>/a/big; chmod 777 /a/big\nFROM base\nCOPY big /a/\nCOPY f /a/other\nRUN wc -c /a/big; stat -c mode:%a /a/big';
    for (const extra of ['one', 'two']) {
      const { text } = build(steps, { big, f: extra }, ['--no-cache']);
      expect(text).toMatch(/^#\d+ [\d.]+ 100000 \/a\/big$/m);
      expect(text).toMatch(/^#\d+ [\d.]+ mode:644$/m);
    }
  });

  it('229 links and devices in a cache mount are no way out', () => {
    const cache = '--mount=type=cache,target=/c,id=escape';
    build(`RUN ${cache} ln -sfn ${outside.dir} /c/x; ln -sfn /.. /c/y; mknod /c/dev c 10 229; true`);
    const nested = build(`RUN ${cache} --mount=type=tmpfs,target=/c/x/made true`);
    expect(nested.text).toContain('a symbolic link inside another mount is not followed');
    const { text } = build(`RUN ${cache} cat /c/x/canary /c/y${outside.canary}; (: </c/dev) && echo OPENED; true`);
    expect(text).not.toMatch(/ OPENED$/m);
    expect(text).not.toContain(outside.secret);
    nothingChanged();
  });

  it('230 a tmpfs opens no devices', () => {
    const { text } = build('RUN --mount=type=tmpfs,target=/t mknod /t/d c 10 229 && (: </t/d) && echo OPENED; true');
    expect(text).not.toMatch(/ OPENED$/m);
  });

  if (isOwner)
    itNeeding([MEMORY_TREE], '231 a fork bomb ends at --pids-limit', () => {
      const { text } = build(
        'RUN for n in $(grep -c . /proc/1/limits) 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; sleep 0; echo STARTED',
        {},
        ['--pids-limit', '10'],
      );
      expect(text).toMatch(/^#\d+ [\d.]+ .*can't fork: Resource temporarily unavailable$/m);
      expect(text).not.toMatch(/^#\d+ [\d.]+ STARTED$/m);
    });

  if (isOwner)
    itNeeding([MEMORY_TREE], '232 a memory bomb ends at -m', () => {
      const { status, text } = build('RUN ["/bin/busybox", "tail", "/dev/zero"]', {}, ['-m', '24m']);
      expect(status).toBe(1);
      expect(text).toContain('for lack of memory');
    });

  it('233 a step cannot end the builder with all processes it sees', () => {
    const { status, text } = build('RUN kill -9 -1; echo on\nRUN echo next');
    expect(text).toMatch(/^#\d+ [\d.]+ on$/m);
    expect(status).toBe(0);
  });

  it('234 no-new-privileges and a profile by path confine further', () => {
    const profile = join(caller.home, 'profile.json');
    const rule = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 };
    writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] }));
    handOver(caller, profile);
    const runtimes = hasPrograms('runc') ? [[], ['--oci-runtime', 'runc']] : [[]];
    for (const runtime of runtimes) {
      const flags = [
        '--no-cache',
        '--security-opt',
        'no-new-privileges',
        '--security-opt',
        `seccomp=${profile}`,
        ...runtime,
      ];
      const { text } = build('RUN grep -E "NoNewPrivs|Seccomp:" /proc/self/status; mkdir /x; true', {}, flags);
      expect(text).toMatch(/NoNewPrivs:\s1\n/);
      expect(text).toMatch(/Seccomp:\s2\n/);
      expect(text).toContain("can't create directory '/x': Function not implemented");
      const open = build('RUN grep Seccomp: /proc/self/status', {}, [
        '--no-cache',
        '--security-opt',
        'seccomp=unconfined',
        ...runtime,
      ]);
      expect(open.text).toMatch(/Seccomp:\s0\n/);
    }
  });

  it('235 tsbuild run writes through no read-only volume and follows no link on the host', () => {
    const volume = join(caller.home, 'volume');
    execFileSync('mkdir', ['-p', volume]);
    execFileSync('ln', ['-sfn', outside.dir, join(volume, 'x')]);
    handOver(caller, volume);
    const script =
      'cat /v/x/canary; echo x >/v/made && echo WRITTEN; mknod /w/d c 10 229; (: </w/d) && echo OPENED; true';
    const volumes = ['-v', `${volume}:/v:ro`, '-v', `${volume}:/w`];
    const result = caller.tsbuild(['run', '--rm', ...volumes, `oci-layout://${base}`, 'sh', '-c', script]);
    expect(result.status, outputOf(result)).toBe(0);
    expect(outputOf(result)).not.toMatch(/WRITTEN|OPENED/);
    expect(outputOf(result)).not.toContain(outside.secret);
    nothingChanged();
  });

  itNeeding(['python3'], '236 tsbuild debug does not hand out its own terminal', () => {
    expect(build('RUN false').status).toBe(1);
    const argv = [
      ...caller.prefix,
      'env',
      `TSBUILD_ROOT=${caller.home}/store`,
      `HOME=${caller.home}`,
      ...caller.command,
      'debug',
    ];
    const { stdout } = spawnSync('python3', ['-c', OWN_TERMINAL, ...argv], { encoding: 'utf8', timeout: 60_000 });
    expect(stdout).toMatch(/^outer (\d+)$/m);
    expect(stdout).toMatch(/inner \w+:\w+/);
    const outer = Number(/^outer (\d+)$/m.exec(stdout)?.[1]);
    const [, major = '', minor = ''] = /inner (\w+):(\w+)/.exec(stdout) ?? [];
    expect([Number.parseInt(major, 16), Number.parseInt(minor, 16)]).not.toEqual([136, outer]);
  });

  it('237 the work directory of a runtime is no descriptor of the host', () => {
    const runtimes = hasPrograms('runc') ? [[], ['--oci-runtime', 'runc']] : [[]];
    for (const runtime of runtimes) {
      for (const fd of [3, 5, 7, 8, 9]) {
        const { text } = build(
          `WORKDIR /proc/self/fd/${fd}\nRUN ["/bin/busybox", "cat", "../../../../../../..${outside.canary}"]`,
          {},
          runtime,
        );
        expect(text).not.toContain(outside.secret);
      }
    }
  });
});

describeRoot('hostile sources', { needs: [GIT] }, (caller) => {
  const git = new GitServer();
  let outside: Outside;
  beforeAll(async () => {
    outside = new Outside(caller);
    await git.listen();
    git.commit('plain', { 'dir/f': 'text', out: `-> ${outside.dir}` });
  });
  afterAll(() => git.close());
  const add = (source: string): { status: number | null; text: string } => {
    const out = join(caller.home, 'added');
    const context = writeContext(caller, { Dockerfile: `FROM scratch\nADD ${source} /got\n` });
    return buildWith(caller, context, {}, { flags: ['-o', out] });
  };

  it('238 a ref is no option of git', () => {
    for (const ref of [`--upload-pack=touch\${IFS}${outside.dir}/made`, '-u', '--output=/x']) {
      expect(add(`${git.url('plain')}#${ref}`).status).toBe(1);
      expect(add(`${git.url('plain')}?ref=${encodeURIComponent(ref)}`).status).toBe(1);
    }
    expect(outside.changes()).toEqual([]);
  });

  it.each([
    [239, (dir: string) => `ext::sh%20-c%20touch%20${dir}/made`],
    [240, (dir: string) => `git@-oProxyCommand=touch\${IFS}${dir}/made:x.git`],
    [241, (dir: string) => `file://${dir}/canary`],
  ])('%d a URL that is a command or a file of the host is not fetched', (_number, source) => {
    const { status, text } = add(source(outside.dir));
    expect(status).toBe(1);
    expect(text).not.toContain(outside.secret);
    expect(outside.changes()).toEqual([]);
  });

  it('242 a subdirectory behind a link is not taken', () => {
    const { status, text } = add(`${git.url('plain')}#main:out`);
    expect(text).toContain('error: failed to open subdir out: no such file or directory');
    expect(status).toBe(1);
  });

  it.each([
    [243, 'ext', (dir: string) => `ext::sh -c "touch ${dir}/made"`],
    [244, 'file', (dir: string) => `file://${dir}/repository.git`],
    [245, 'option', (dir: string) => `-u./touch${dir}`],
  ])('%d a submodule with %s for its URL is not fetched', (_number, name, url) => {
    const inner = git.commit('plain', { again: name });
    git.commit(name, { '.gitmodules': `[submodule "m"]\n\tpath = m\n\turl = ${url(outside.dir)}\n` });
    git.git(name, 'update-index', '--add', '--cacheinfo', `160000,${inner},m`);
    git.git(name, 'commit', '--quiet', '--message=m');
    const { status, text } = add(git.url(name));
    expect(text).toContain('error: ');
    expect(status).toBe(1);
    expect(outside.changes()).toEqual([]);
  });

  itNeeding(['python3'], '246 a server cannot redirect to a file of the host', () => {
    const script = [
      REDIRECTS,
      outside.canary,
      ...caller.command,
      'build',
      '--progress=plain',
      writeContext(caller, { Dockerfile: 'FROM scratch\nARG URL\nADD $URL /got\n' }),
    ];
    const env = { ...process.env, TSBUILD_ROOT: join(caller.home, 'redirects') };
    const result = spawnSync('python3', ['-c', ...script], { encoding: 'utf8', env, timeout: 60_000 });
    expect(outputOf(result)).toContain('error: ');
    expect(outputOf(result)).not.toContain(outside.secret);
    expect(result.status).toBe(1);
  });
});

/** Runs a command in a terminal and asks in there which terminal it has. */
const OWN_TERMINAL = `
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    os.write(1, b'outer %d\\n' % os.minor(os.fstat(0).st_rdev))
    os.execvp(sys.argv[1], sys.argv[1:])
shown, sent = b'', False
while True:
    ready, _, _ = select.select([fd], [], [], 60)
    try:
        chunk = os.read(fd, 65536) if ready else b''
    except OSError:
        chunk = b''
    if not chunk:
        break
    shown += chunk
    if not sent and (b'# ' in shown or b'$ ' in shown):
        sent = True
        os.write(fd, b'echo inner $(stat -Lc %t:%T /proc/self/fd/2); exit\\n')
print(shown.decode(errors='replace').replace('\\r', ''))
`;

/** Serves redirects to a file for as long as the command runs. */
const REDIRECTS = `
import http.server, subprocess, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header('Location', 'file://' + sys.argv[1])
        self.send_header('Content-Length', '0')
        self.end_headers()
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = 'http://127.0.0.1:%d/f' % server.server_port
argv = sys.argv[2:]
sys.exit(subprocess.run(argv[:-1] + ['--build-arg', 'URL=' + url, argv[-1]]).returncode)
`;
