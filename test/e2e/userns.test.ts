// Steps of a builder that is root, in a user namespace: ids of their own on this machine, and the image as ever.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { chooseStepIds } from '../../src/sandbox/step-namespace.ts';
import { describeCallers, describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
const BUSYBOX = '/bin/busybox';
const NAMED = ['--build-context', `base=oci-layout://${base}`];
const first = chooseStepIds(readFileSync('/etc/subuid', 'utf8'), readFileSync('/etc/subgid', 'utf8')).uids.start;

const OWNERS = `FROM base
COPY busybox /bin/busybox
COPY --chown=33:44 one /one
RUN busybox chown 65534:1 /one && busybox mkdir -p /home/app && busybox chown 1000:1000 /home/app && echo 2 >/two && busybox chown 1000:2000 /two
USER app
RUN echo 3 >/home/app/three && busybox chmod 4711 /home/app/three
USER 0
RUN --mount=type=cache,target=/c echo made >/c/file && busybox chown 7:8 /c/file && busybox rm /bin/touch
RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --mount=type=bind,target=/b,rw \\
    busybox stat -c %u:%g /c/file /t /b/one >/seen && busybox touch /b/new && busybox rm -r /tmp && busybox mkdir /tmp
`;
const PASSWD = {
  'etc-passwd': 'root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n',
  'etc-group': 'root:x:0:\napp:x:1000:\n',
};

describeRoot('--userns as root', { needs: [BUSYBOX] }, (caller) => {
  const build = (dockerfile: string, flags: readonly string[], files = {}) => {
    const context = writeContext(caller, { Dockerfile: dockerfile, one: '1\n', ...PASSWD, ...files });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    return caller.tsbuild(['--progress=plain', ...NAMED, ...flags, context]);
  };

  it('maps the ids of a step to high ones, and gives it no right outside', () => {
    const built = build(
      `FROM base
COPY busybox /bin/busybox
RUN --network=none busybox awk '{print "map", $1, $2}' /proc/self/uid_map && echo user $(busybox id -u) && busybox grep CapEff /proc/self/status && busybox ifconfig lo
RUN ! echo 1 2>&1 >/proc/sys/kernel/panic && ! busybox mknod /node c 1 3 2>&1 && ! busybox mount -t tmpfs none /tmp 2>&1
`,
      ['--userns'],
    );
    expect(outputOf(built)).toContain(`map 0 ${first}\n`);
    expect(built.stderr).toContain('user 0\n');
    expect(built.stderr).toContain('CapEff:\t00000000a80425fb\n');
    expect(built.stderr).toContain('UP LOOPBACK RUNNING');
    expect(built.stderr).toContain('mknod: /node: Operation not permitted');
    expect(built.status).toBe(0);
  });

  it('makes the same layers as without it, and the cache is one', () => {
    const dockerfile = OWNERS.replace(
      'COPY --chown',
      'COPY etc-passwd /etc/passwd\nCOPY etc-group /etc/group\nCOPY --chown',
    );
    const context = writeContext(caller, { Dockerfile: dockerfile, one: '1\n', ...PASSWD });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    const digests = [['--userns'], []].map((flags, index) => {
      const metadata = join(caller.home, `metadata-${index}.json`);
      const output = `type=oci,rewrite-timestamp=true,dest=${join(caller.home, `image-${index}.tar`)}`;
      const args = ['--progress=plain', ...NAMED, ...flags, '-o', output, '--metadata-file', metadata, context];
      const built = caller.tsbuild(args, { store: `same-${index}`, env: { SOURCE_DATE_EPOCH: '1000000' } });
      expect(built.status, outputOf(built)).toBe(0);
      return JSON.parse(readFileSync(metadata, 'utf8'))['containerimage.digest'];
    });
    expect(digests[0]).toMatch(/^sha256:/);
    expect(digests[0]).toBe(digests[1]);
    const again = caller.tsbuild(['--progress=plain', ...NAMED, context], { store: 'same-0' });
    expect(again.stderr.match(/CACHED/g)).toHaveLength(9);
    const seen = caller.tsbuild(['--progress=plain', ...NAMED, '-o', join(caller.home, 'root'), context], {
      store: 'same-0',
    });
    expect(seen.status).toBe(0);
    expect(readFileSync(join(caller.home, 'root', 'seen'), 'utf8')).toBe('7:8\n0:0\n0:0\n');
    const owners = ['one', 'two', 'home/app/three'].map((name) => statSync(join(caller.home, 'root', name)));
    expect(owners.map(({ uid, gid, mode }) => [uid, gid, mode & 0o7777])).toEqual([
      [65534, 1, 0o644],
      [1000, 2000, 0o644],
      [1000, 1000, 0o4711],
    ]);
  });

  itNeeding(['setcap', 'getcap', 'ldd'], 'keeps capabilities of files as they are without it', () => {
    const layers = ['--userns=auto', '--userns=host'].map((flag) => {
      const context = writeContext(caller, {
        Dockerfile: `FROM base
COPY setcap busybox /bin/
COPY libcap.so.2 /lib/
RUN LD_LIBRARY_PATH=/lib /bin/setcap cap_net_raw+ep /bin/sleep && LD_LIBRARY_PATH=/lib /bin/setcap -v cap_net_raw+ep /bin/sleep
`,
      });
      const [setcap = ''] = caller
        .run('sh', ['-c', 'command -v setcap || echo /sbin/setcap'])
        .stdout.trim()
        .split('\n');
      const library = caller.run('sh', ['-c', `ldd ${setcap} | sed -n 's/.*libcap.*=> \\([^ ]*\\) .*/\\1/p'`]);
      copyFileSync(setcap, join(context, 'setcap'));
      copyFileSync(BUSYBOX, join(context, 'busybox'));
      copyFileSync(library.stdout.trim(), join(context, 'libcap.so.2'));
      const root = join(caller.home, `capabilities-${flag.slice(9)}`);
      const built = caller.tsbuild(['--progress=plain', ...NAMED, flag, '-o', root, context], { store: root });
      expect(outputOf(built)).toContain('/bin/sleep: OK');
      return caller.run('getcap', ['-n', join(root, 'bin/sleep')]).stdout.replace(root, '');
    });
    expect(layers[0]).toContain('cap_net_raw');
    expect(layers[0]).toBe(layers[1]);
  });

  it('is a usage error with an OCI runtime', () => {
    const built = build('FROM base\nRUN echo 1\n', ['--userns', '--oci-runtime=runc']);
    expect(built.stderr).toContain('--userns cannot be combined with an OCI runtime');
    expect(built.status).toBe(2);
  });
});

describeRoot('tsbuild run --userns as root', { needs: [BUSYBOX, 'ps'] }, (caller) => {
  beforeAll(() => {
    const context = writeContext(caller, {
      Dockerfile: 'FROM base\nCOPY busybox /bin/busybox\nRUN --network=none exit\n',
    });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    expect(outputOf(caller.tsbuild(['-q', ...NAMED, '-t', 'app', context]))).toMatch(/^sha256:/);
  });

  it('is seen from this machine under a high id', async () => {
    const [node, script] = caller.command;
    const args = [script, 'run', '--userns', '-i', 'app', 'sh', '-c', 'echo ready; read x; echo $x from $(id -u)'];
    const env = { ...process.env, TSBUILD_ROOT: join(caller.home, 'store') };
    const child = spawn(node, args, { stdio: ['pipe', 'pipe', 'inherit'], env, cwd: caller.home });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    while (!said.includes('ready')) await once(child.stdout, 'data');
    const shells = caller.run('sh', ['-c', `ps -eo uid,args | grep -c '^ *${first} sh -c echo ready'`]);
    child.stdin.end('back\n');
    await once(child, 'close');
    expect(shells.stdout).toBe('1\n');
    expect(said).toBe('ready\nback from 0\n');
  });

  it('may not write what is root’s on this machine', () => {
    const dir = join(caller.home, 'mine');
    mkdirSync(dir);
    writeFileSync(join(dir, 'file'), 'safe\n');
    chmodSync(join(dir, 'file'), 0o644);
    const args = ['-v', `${dir}:/mine`, 'app', 'sh', '-c', 'cat /mine/file; echo x >/mine/file; echo x >/mine/new'];
    const ran = caller.tsbuild(['run', '--userns', ...args]);
    expect(ran.stdout).toBe('safe\n');
    expect(ran.stderr.match(/Permission denied/g)).toHaveLength(2);
    expect(ran.status).not.toBe(0);
    expect(caller.tsbuild(['run', ...args]).status).toBe(0);
  });
});

describeCallers('--userns', { needs: [BUSYBOX] }, (caller) => {
  it('builds, whoever the caller is', () => {
    const context = writeContext(caller, {
      Dockerfile: 'FROM base\nCOPY busybox /busybox\nRUN id -u && ! /busybox grep -q 4294967295 /proc/self/uid_map\n',
    });
    copyFileSync(BUSYBOX, join(context, 'busybox'));
    const built = caller.tsbuild(['--progress=plain', ...NAMED, '--userns', context]);
    expect(outputOf(built)).toMatch(/^#\d+ [\d.]+ 0$/m);
    expect(built.status).toBe(0);
  });

  it('refuses another value', () => {
    for (const [command, status] of [
      ['build', 2],
      ['run', 125],
    ] as const) {
      const refused = caller.tsbuild([command, '--userns=keep-id', '.']);
      expect(refused.stderr).toBe('error: invalid --userns "keep-id": expected auto or host\n');
      expect(refused.status).toBe(status);
    }
  });
});
