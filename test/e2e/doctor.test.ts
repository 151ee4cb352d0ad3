// `tsbuild doctor` on this machine, and on machines made to lack one thing each.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { describeCallers, describeRoot, outputOf, USER_NEEDS, userCaller, writeContext } from './harness.ts';

interface Report {
  readonly canBuild: boolean;
  readonly checks: readonly {
    readonly name: string;
    readonly status: string;
    readonly fact: string;
    readonly fix?: string;
  }[];
}

const blockedOf = (stdout: string) => {
  const { checks } = JSON.parse(stdout) as Report;
  return checks.filter(({ status }) => status === 'blocked').map(({ name }) => name);
};
const fixOf = (stdout: string, name: string) =>
  (JSON.parse(stdout) as Report).checks.find((check) => check.name === name)?.fix;

describeCallers('tsbuild doctor', { needs: ['root'] }, (caller) => {
  it('finds that this machine can build', () => {
    const { stdout, stderr, status } = caller.tsbuild(['doctor']);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout).toMatch(/^ok +kernel +Linux /);
    expect(stdout).toMatch(/^ok +overlay +an overlay can be mounted on the store's file system \(\w+\)$/m);
    expect(stdout).toMatch(/^(ok +network +steps have a network of their own through |warning +network +\S)/m);
    expect(stdout).toMatch(/\ntsbuild can build here\n$/);
    expect(JSON.parse(caller.tsbuild(['doctor', '--json']).stdout)).toMatchObject({ canBuild: true });
  });

  it('finds blobs that are not what their digests say', () => {
    const dir = join(caller.home, 'store', 'blobs', 'sha256');
    const name = 'a'.repeat(64);
    expect(caller.tsbuild(['doctor', '--store']).stdout).toMatch(/^ok +blobs +0 blobs, 0 MB: all are what/m);
    writeFileSync(join(dir, name), 'x');
    const { stdout, status } = caller.tsbuild(['doctor', '--store', '--json']);
    expect({ status, blocked: blockedOf(stdout) }).toEqual({ status: 1, blocked: ['blobs'] });
    expect(fixOf(stdout, 'blobs')).toBe(`remove them, they are fetched or made again: rm ${join(dir, name)}`);
    execFileSync('rm', [join(dir, name)]);
  });

  it('leaves nothing in the store', () => {
    expect(readdirSync(join(caller.home, 'store', 'tmp')).filter((name) => name.startsWith('doctor-'))).toEqual([]);
  });
});

const STORE_FIX = 'put the store on ext4, xfs, btrfs or tmpfs: name a directory there with TSBUILD_ROOT';

/** Starts a program as an ordinary user of a user namespace in which no further one can be made. */
const WITHOUT_USER_NAMESPACES = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
there, mapped, back, done = *os.pipe(), *os.pipe()
pid = os.fork()
if pid == 0:
    libc.unshare(0x10000000)
    os.write(mapped, b'x')
    os.read(back, 1)
    open('/proc/sys/user/max_user_namespaces', 'w').write('0')
    os.setgroups([])
    uid = int(sys.argv[1])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execvp(sys.argv[2], sys.argv[2:])
os.read(there, 1)
for name in ('uid_map', 'gid_map'):
    open(f'/proc/{pid}/{name}', 'w').write('0 0 100000')
os.write(done, b'x')
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
`;

describeRoot('tsbuild doctor names what is in the way', { needs: ['python3', 'unshare', ...USER_NEEDS] }, (root) => {
  const user = userCaller();
  afterAll(() => user.dispose());
  /** In a mount namespace of its own, after the shell commands. */
  const doctorAfter = (setUp: string, store: string) =>
    root.run('unshare', ['-m', 'sh', '-ec', `${setUp}\nexec "$@"`, 'sh', ...root.command, 'doctor', '--json'], {
      store,
    });

  it('when the user has no range of ids', () => {
    const id = user.run('id', ['-un']).stdout.trim();
    const hide = 'mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid';
    const script = `${hide}; exec runuser -u ${id} -- "$@"`;
    const result = root.run('unshare', ['-m', 'sh', '-ec', script, 'sh', ...user.command, 'doctor'], {
      store: join(user.home, 'no-range'),
      cwd: '/',
    });
    expect(result.stdout).toMatch(/^limited +subordinate ids +only one user id is available/m);
    expect(result.stdout).toMatch(/fix: give the user a range of 65536 ids in \/etc\/subuid and \/etc\/subgid/);
    expect(result.stdout).toMatch(/\ntsbuild can build here, with less than a full result: subordinate ids\n$/);
    expect(result.status).toBe(1);
  });

  it('when there is no newuidmap', () => {
    const id = user.run('id', ['-un']).stdout.trim();
    const hide = 'for f in newuidmap newgidmap; do mount --bind /etc/passwd "$(command -v $f)"; done';
    const script = `${hide}; exec runuser -u ${id} -- "$@"`;
    const result = root.run('unshare', ['-m', 'sh', '-ec', script, 'sh', ...user.command, 'doctor', '--json'], {
      store: join(user.home, 'no-mapper'),
      cwd: '/',
    });
    expect(fixOf(result.stdout, 'subordinate ids')).toBe(
      'install newuidmap and newgidmap (package uidmap or shadow-utils)',
    );
    expect(result.status).toBe(1);
  });

  it('when the mapper is gone that made the store', () => {
    const id = user.run('id', ['-un']).stdout.trim();
    const store = join(user.home, 'lost-mapper');
    expect(user.tsbuild(['doctor'], { store }).status).toBe(0);
    const hide = 'for f in newuidmap newgidmap; do mount --bind /etc/passwd "$(command -v $f)"; done';
    const script = `${hide}; exec runuser -u ${id} -- "$@"`;
    const args = ['-m', 'sh', '-ec', script, 'sh', ...user.command, 'doctor', '--json'];
    const { stdout } = root.run('unshare', args, { store, cwd: '/' });
    expect(blockedOf(stdout)).toEqual(['store']);
    expect(fixOf(stdout, 'store')).toBe(
      'to use it, install newuidmap and newgidmap (package uidmap or shadow-utils); else remove it, or name another directory with TSBUILD_ROOT',
    );
  });

  it('when TSBUILD_OVERLAY asks for a device that is not there', () => {
    const store = join(root.home, 'no-fuse');
    const setUp = 'export TSBUILD_OVERLAY=fuse; mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3';
    const { stdout } = doctorAfter(setUp, store);
    const { checks } = JSON.parse(stdout) as Report;
    expect(checks.find(({ name }) => name === 'sandbox')).toMatchObject({
      status: 'blocked',
      fact: 'the sandbox could not open /dev/fuse: openat: ENOENT',
      fix: 'give this user /dev/fuse (in a container: --device /dev/fuse), or leave out TSBUILD_OVERLAY',
    });
  });

  it('when user namespaces are switched off', () => {
    const place = join(root.home, 'denied');
    mkdirSync(place);
    const uid = user.run('id', ['-u']).stdout.trim();
    execFileSync('chown', [uid, place]);
    execFileSync('chmod', ['755', root.home]);
    const args = ['-c', WITHOUT_USER_NAMESPACES, uid, ...root.command, 'doctor', '--json'];
    const { stdout, status } = root.run('python3', args, { store: join(place, 'store'), cwd: '/' });
    expect(blockedOf(stdout)).toEqual(['user namespace']);
    expect(fixOf(stdout, 'user namespace')).toBe(
      'as root, run: sysctl -w user.max_user_namespaces=15000 (or build as root)',
    );
    expect(status).toBe(1);
  });

  itNeeding(['slirp4netns'], 'when steps cannot have a network of their own, which is no reason not to build', () => {
    const store = join(root.home, 'no-network');
    const found = root.tsbuild(['doctor', '--json'], { store });
    const { checks } = JSON.parse(found.stdout) as Report;
    expect(checks.find(({ name }) => name === 'network')).toMatchObject({
      status: 'ok',
      fact: expect.stringMatching(/^steps have a network of their own through slirp4netns \(.*\/slirp4netns\)$/),
    });
    const hide = 'for f in slirp4netns pasta; do p=$(command -v $f) && mount --bind /etc/passwd "$p"; done; :';
    const without = doctorAfter(hide, store);
    const { checks: others } = JSON.parse(without.stdout) as Report;
    expect(others.find(({ name }) => name === 'network')).toEqual({
      name: 'network',
      status: 'warning',
      fact: "neither pasta nor slirp4netns is installed, so steps share this machine's network",
      fix: 'install slirp4netns or passt, or build with --network=host',
    });
    expect([found.status, without.status]).toEqual([0, 0]);
  });

  it('when the store is read-only', () => {
    const store = join(root.home, 'read-only');
    mkdirSync(store);
    const { stdout, status } = doctorAfter(
      `mount --bind -o ro ${store} ${store}; mount -o remount,bind,ro ${store}`,
      store,
    );
    expect(blockedOf(stdout)).toEqual(['store']);
    expect(fixOf(stdout, 'store')).toBe('make it writable for this user, or name another directory with TSBUILD_ROOT');
    expect(status).toBe(1);
  });

  it('when there is no space', () => {
    const store = join(root.home, 'small');
    mkdirSync(store);
    const { stdout, status } = doctorAfter(`mount -t tmpfs -o size=8m tmpfs ${store}`, store);
    expect(blockedOf(stdout)).toEqual(['disk space']);
    const full = doctorAfter(
      `mount -t tmpfs -o size=8m tmpfs ${store}; cat /dev/zero >${store}/x 2>/dev/null || :`,
      store,
    );
    expect(blockedOf(full.stdout)).toEqual(['store', 'disk space']);
    expect(fixOf(full.stdout, 'store')).toBe(
      'free some space there, or name a directory on another disk with TSBUILD_ROOT',
    );
    expect([status, full.status]).toEqual([1, 1]);
  });

  it('when no overlay can be mounted on the file system of the store', () => {
    const dir = join(root.home, 'stacked');
    for (const name of ['lower', 'upper', 'work', 'store']) mkdirSync(join(dir, name), { recursive: true });
    const mount = `mount -t overlay -o lowerdir=${dir}/lower,upperdir=${dir}/upper,workdir=${dir}/work overlay ${dir}/store`;
    const result = doctorAfter(mount, join(dir, 'store'));
    expect(outputOf(result)).toContain('the store is on overlay');
    expect(blockedOf(result.stdout)).toEqual(['overlay']);
    expect(fixOf(result.stdout, 'overlay')).toBe(
      `${STORE_FIX}; for builds whose steps delete nothing of earlier ones, TSBUILD_OVERLAY=fuse or TSBUILD_OVERLAY=copy will do`,
    );
    expect(result.status).toBe(1);
    const dockerfile = 'FROM scratch\nCOPY busybox /bin/\nRUN ["/bin/busybox","touch","/f"]\n';
    const context = writeContext(root, { Dockerfile: dockerfile });
    const deleting = writeContext(root, { Dockerfile: `${dockerfile}RUN ["/bin/busybox","rm","/f"]\n` });
    for (const place of [context, deleting]) copyFileSync('/bin/busybox', join(place, 'busybox'));
    const buildOn = (tier: string, place: string) => {
      const command = [...root.command, 'build', '--progress=plain', '--network=none', place];
      return root.run('unshare', ['-m', 'sh', '-ec', `${mount}\nexec "$@"`, 'sh', ...command], {
        store: join(dir, 'store'),
        env: { TSBUILD_OVERLAY: tier },
      });
    };
    expect(outputOf(buildOn('', context))).toContain(`mount: EINVAL\nhint: ${fixOf(result.stdout, 'overlay')}`);
    expect(buildOn('copy', context).status).toBe(0);
    const refused = buildOn('copy', deleting);
    expect(refused.status).toBe(1);
    expect(outputOf(refused)).toMatch(
      /error: what the step has deleted cannot be marked on the store's file system: mknod: EPERM: .*\nhint: put the store on ext4/,
    );
  });

  it('when TSBUILD_OCI_RUNTIME names none, or what does not run', () => {
    const doctorWith = (runtime: string) => {
      const { stdout, status } = root.tsbuild(['doctor', '--json'], { env: { TSBUILD_OCI_RUNTIME: runtime } });
      const { checks } = JSON.parse(stdout) as Report;
      return { status, blocked: blockedOf(stdout), fact: checks.find(({ name }) => name === 'OCI runtime')?.fact };
    };
    const [status, blocked] = [1, ['OCI runtime']];
    const notOne = 'is not an OCI runtime: it names no version of the specification, and knows no command "state"';
    expect(doctorWith('nosuch')).toEqual({ status, blocked, fact: 'the OCI runtime "nosuch" is not on PATH' });
    expect(doctorWith('/bin/false')).toEqual({ status, blocked, fact: `/bin/false ${notOne}` });
    expect(doctorWith('/nosuch')).toEqual({
      status,
      blocked,
      fact: 'the sandbox could not start the runtime /nosuch: execve: ENOENT',
    });
    const broken = join(root.home, 'broken');
    const problem = '{"msg":"no cgroups here","level":"error"}';
    const script = `case "$1" in --version) echo spec: 1.0.2;; *) echo '${problem}' >/proc/self/fd/9; exit 1; esac`;
    writeFileSync(broken, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const fact = `the OCI runtime ${broken} failed: no cgroups here`;
    expect(doctorWith(broken)).toEqual({ status, blocked, fact });
    const { stdout } = root.tsbuild(['doctor', '--json'], { env: { TSBUILD_OCI_RUNTIME: 'nosuch' } });
    expect(fixOf(stdout, 'OCI runtime')).toBe(
      'install it or name another in TSBUILD_OCI_RUNTIME (runc, crun, or a path), or unset that for the built-in sandbox',
    );
  });

  itNeeding(['runc'], 'and not when it names one that runs', () => {
    const report = root.tsbuild(['doctor'], { env: { TSBUILD_OCI_RUNTIME: 'runc' } });
    expect(report.stdout).toMatch(/^ok +OCI runtime +runc \(.*\/runc\) runs steps, as TSBUILD_OCI_RUNTIME says$/m);
    expect(report.status).toBe(0);
    const unset = root.tsbuild(['doctor'], { env: { TSBUILD_OCI_RUNTIME: '' } });
    expect(unset.stdout).not.toContain('OCI runtime');
  });

  it('when the machine may make no more namespaces', () => {
    const script = 'exec unshare -Urm sh -ec \'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"\' sh "$@"';
    const { stdout, status } = user.run('sh', ['-c', script, 'sh', ...user.command, 'doctor', '--json']);
    expect(blockedOf(stdout)).toEqual(['namespaces']);
    expect(fixOf(stdout, 'namespaces')).toBe('as root, run: sysctl -w user.max_net_namespaces=15000');
    expect(status).toBe(1);
  });
});
