// Attempts to get out by what is built from: base images, layouts, archives, and names and links in them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import {
  BUSYBOX,
  buildWith,
  busyboxLayer,
  type Entry,
  type LayoutOptions,
  Outside,
  tarOf,
  USERS,
  writeLayout,
} from './escape/rig.ts';
import { describeNeeding } from '../needs.ts';
import { describeCallers, writeContext } from './harness.ts';

const NULL = { major: 1, minor: 3 };

describeCallers('a hostile image', { needs: ['root', BUSYBOX] }, (caller) => {
  const isOwner = caller.name === 'root';
  let outside: Outside;
  beforeAll(() => {
    outside = new Outside(caller);
  });

  /** Builds `steps` on busybox and a layer of these entries. */
  const build = (
    entries: readonly Entry[],
    steps = 'RUN true',
    {
      flags = [],
      env = {},
      ...options
    }: LayoutOptions & { flags?: readonly string[]; env?: Record<string, string> } = {},
  ) => {
    const base = writeLayout(caller, [busyboxLayer(), tarOf([...USERS, ...entries])], options);
    const context = writeContext(caller, { Dockerfile: `FROM base\n${steps}\n`, f: 'from the context' });
    return buildWith(caller, context, { base }, { flags, env });
  };
  const nothingChanged = (): void => expect(outside.changes()).toEqual([]);
  const link = (name: string, linkName: string): Entry => ({ name, type: 'symlink', linkName });

  it.each([
    [101, '../escaped'],
    [102, 'd/../../escaped'],
    [103, '/../escaped'],
    [104, 'd/..'],
    [105, '.wh...'],
    [106, 'd/.wh...'],
    [107, '.wh..'],
    [108, '../.wh..wh..opq'],
    [109, '../.wh.canary'],
  ])('%d an entry named %s is refused', (_number, name) => {
    const { status, text } = build([{ name, text: 'x' }]);
    expect(text).toContain(`error: refused to unpack "${name}": the name leads out of the root`);
    expect(status).toBe(1);
    nothingChanged();
  });

  it('110 an absolute name stays inside', () => {
    const { status, text } = build([{ name: `${outside.dir}/made`, text: 'x' }], `RUN cat ${outside.dir}/made`);
    expect(status, text).toBe(0);
    nothingChanged();
  });

  it('111 a file behind a link out of the image is written inside it', () => {
    const { status } = build([link('l', outside.dir), { name: 'l/made', text: 'x' }], `RUN cat ${outside.dir}/made`);
    expect(status).toBe(0);
    nothingChanged();
  });

  it('112 a chain of links with .. stays inside', () => {
    const up = '../'.repeat(20);
    const entries = [link('a', `${up}${outside.dir.slice(1)}`), link('b', 'a'), { name: 'b/made', text: 'x' }];
    expect(build(entries).status).toBe(0);
    nothingChanged();
  });

  it.each([
    [113, 'an absolute path', () => outside.canary],
    [114, 'a path with ..', () => `../../../../../../../..${outside.canary}`],
    [115, 'a path behind a link', () => 'l/canary'],
  ])('%d a hard link to %s outside is refused', (_number, _what, target) => {
    const { status, text } = build([link('l', outside.dir), { name: 'hard', type: 'link', linkName: target() }]);
    expect(text).toMatch(/error: (cannot unpack "hard": its link target .* does not exist|refused to unpack)/);
    expect(status).toBe(1);
  });

  it('116 a whiteout behind a link deletes nothing outside', () => {
    expect(build([link('l', outside.dir), { name: 'l/.wh.canary' }]).status).toBe(0);
    nothingChanged();
  });

  it('117 an opaque mark behind a link hides nothing outside', () => {
    expect(build([link('l', outside.dir), { name: 'l/.wh..wh..opq' }]).status).toBe(0);
    nothingChanged();
  });

  it('118 a directory in the place of a link does not change what it led to', () => {
    const entries = [link('l', outside.dir), { name: 'l/', mode: 0o777, uid: 1 }, { name: 'l/made' }];
    expect(build(entries).status).toBe(0);
    nothingChanged();
  });

  it('119 modes and owners are not set through a link', () => {
    expect(build([{ ...link('l', outside.canary), mode: 0o777, uid: 1 }]).status).toBe(0);
    nothingChanged();
  });

  it('120 devices of a layer cannot be opened, or are left out and named', () => {
    const devices: Entry[] = [
      { name: 'fuse', type: 'char', mode: 0o666, rdev: { major: 10, minor: 229 } },
      { name: 'disk', type: 'block', mode: 0o666, rdev: { major: 7, minor: 0 } },
    ];
    const { status, text } = build(devices, 'RUN for d in /fuse /disk; do (: <$d) && echo OPENED; done; true');
    expect(status, text).toBe(0);
    expect(text).not.toMatch(/OPENED$/m);
    expect(text.includes('left out the device "fuse": only root can make one')).toBe(!isOwner);
  });

  it('121 overlayfs marks in a layer are not taken over', () => {
    const xattrs = ['trusted', 'user'].flatMap((space): [string, Buffer][] => [
      [`${space}.overlay.redirect`, Buffer.from(outside.dir)],
      [`${space}.overlay.metacopy`, Buffer.from('')],
      [`${space}.overlay.opaque`, Buffer.from('y')],
    ]);
    const { status, text } = build([{ name: 'd/', xattrs }], 'RUN ls -a /d; cat /d/canary');
    expect(status, text).toBe(1);
    expect(text).not.toContain(outside.secret);
  });

  it('122 a name is not looked up in the passwd of the host', () => {
    const { text } = build([link('etc/passwd', '/proc/1/root/etc/passwd')], 'USER tsbuild-test\nRUN id');
    expect(text).toContain('unable to find user tsbuild-test: no matching entries in passwd file');
  });

  it('123 a pipe in the place of passwd holds nobody up', () => {
    const { text } = build([{ name: 'etc/passwd', type: 'fifo' }], 'USER app\nRUN id');
    expect(text).toContain('unable to find user app: no matching entries in passwd file');
  });

  it.runIf(isOwner)('124 a device in the place of passwd is not read', () => {
    const { text } = build([{ name: 'etc/passwd', type: 'char', rdev: { major: 1, minor: 5 } }], 'USER app\nRUN id');
    expect(text).toContain('unable to find user app: no matching entries in passwd file');
  });

  it('125 a huge passwd is not read', () => {
    const steps = 'RUN dd if=/dev/zero of=/etc/passwd bs=1 count=0 seek=3000000000\nUSER app\nRUN id';
    const { text } = build([], steps);
    expect(text).toContain('error: /etc/passwd of the image has 3000000000 bytes; at most 16 MiB are read');
    const copied = build([], `${steps.split('\n')[0]}\nCOPY --chown=app f /f`);
    expect(copied.text).toContain('error: /etc/passwd of the image has 3000000000 bytes; at most 16 MiB are read');
  });

  it('126 the network files are not written through links', () => {
    const entries = [link('etc/hosts', outside.canary), link('etc/resolv.conf', `../../../../..${outside.dir}/made`)];
    expect(build(entries, 'RUN --network=none cat /etc/hosts').status).toBe(0);
    nothingChanged();
  });

  it.each([
    [127, 'proc'],
    [128, 'sys'],
    [129, 'dev'],
  ])('%d a link in the place of /%s leads nothing out', (_number, name) => {
    const { text } = build([link(name, `../..${outside.dir}`)], 'RUN true');
    expect(text).not.toContain('internal error');
    nothingChanged();
  });

  it('130 WORKDIR through a link makes nothing outside', () => {
    expect(build([link('l', outside.dir)], 'WORKDIR /l/made\nRUN pwd').status).toBe(0);
    nothingChanged();
  });

  it("131 the image's own WORKDIR is no way out", () => {
    build([link('l', outside.dir)], 'RUN touch made; cat canary', { config: { WorkingDir: '/l/../../../../l' } });
    nothingChanged();
  });

  it.each([
    [132, 'tmpfs,target=/l/made'],
    [133, 'cache,target=/l/made'],
    [134, 'bind,source=f,target=/l/made'],
    [135, 'secret,id=s,target=/l/made'],
  ])('%d a mount with %s makes nothing outside', (_number, mount) => {
    const env = { SECRET: 'x' };
    const flags = ['--secret', 'id=s,env=SECRET'];
    const { status, text } = build([link('l', outside.dir)], `RUN --mount=type=${mount} true`, { flags, env });
    expect(status, text).toBe(0);
    nothingChanged();
  });

  it.each([
    [136, 'up', 'tmpfs,target=/m/up/made'],
    [137, 'top', 'tmpfs,target=/m/top'],
    [138, 'host', 'cache,target=/m/host/made'],
    [139, 'magic', 'tmpfs,target=/m/magic/made'],
  ])('%d a mount below the link %s of another mount is refused', (_number, name, mount) => {
    const links = [
      link('d/up', `/..${outside.dir}`),
      link('d/top', '/'),
      link('d/host', `../../../../..${outside.dir}`),
      link('d/magic', '/proc/self/fd/3'),
    ];
    const steps = `RUN --mount=type=bind,from=base,source=/d,target=/m --mount=type=${mount} ls /.. && cat /..${outside.canary}`;
    const { status, text } = build([{ name: 'd/' }, ...links], steps);
    expect(text).toMatch(
      /error: the sandbox could not mount \/m\/.*: a symbolic link inside another mount is not followed\n/,
    );
    expect(text).not.toContain(outside.secret);
    expect(status, name).toBe(1);
    nothingChanged();
  });

  it('140 a null device of its own does not put a file of the host over /proc', () => {
    const links = Array.from({ length: 3 }, (_, n) => link(`d${n}/null`, `/proc/self/fd/${n + 18}${outside.canary}`));
    for (const [n, entry] of links.entries()) {
      const look = '"/bin/busybox", "sh", "-c", "cat /proc/keys; stat -c %t:%T /proc/keys"';
      const steps = `RUN --mount=type=bind,from=base,source=/d${n},target=/dev [${look}]`;
      const { text } = build([{ name: `d${n}/` }, entry], steps);
      expect(text).not.toContain(outside.secret);
      expect(text).toMatch(/^#\d+ [\d.]+ 1:3$/m);
    }
  });

  it('141 /proc cannot be covered', () => {
    const { text } = build([{ name: 'a/b/' }, link('proc', '/a/b')], 'RUN --mount=type=tmpfs,target=/a true');
    expect(text).toContain('error: invalid mount target "/a"');
  });

  it('142 a bind mount does not follow its source out of the stage', () => {
    const { text } = build(
      [link('l', outside.dir)],
      'RUN --mount=type=bind,from=base,source=/l,target=/m cat /m/canary',
    );
    expect(text).not.toContain(outside.secret);
    nothingChanged();
  });

  it('143 COPY --from does not follow links out of the stage', () => {
    const steps = 'COPY --from=base /l/canary /got\nRUN cat /got';
    const { status, text } = build([link('l', outside.dir)], steps);
    expect(text).not.toContain(outside.secret);
    expect(status).toBe(1);
  });

  it('144 COPY to a link writes inside', () => {
    expect(build([link('l', outside.dir)], 'COPY f /l/made\nCOPY f /l/canary').status).toBe(0);
    nothingChanged();
  });

  it('145 a manifest that lies about sizes is refused', () => {
    const { status, text } = build([{ name: 'lies' }], 'RUN true', {
      describe: ({ digest, size }) => ({ digest, size: size + 1 }),
    });
    expect(text).toMatch(/error: .*has \d+ bytes for blob sha256:\w+ of \d+/);
    expect(status).toBe(1);
  });

  it('146 a manifest with a path for a digest is refused', () => {
    const digest = `sha256:../../../..${outside.canary}`;
    const { status, text } = build([], 'RUN true', { describe: ({ size }) => ({ digest, size }) });
    expect(text).toContain('error: ');
    expect(text).not.toContain('internal error');
    expect(status).toBe(1);
  });

  it('147 a layer that is not what the config says is refused', () => {
    const { status, text } = build([], 'RUN true', { diffID: () => `sha256:${'0'.repeat(64)}` });
    expect(text).toMatch(/error: .*diff/i);
    expect(status).toBe(1);
  });

  const bomb = (layer: Buffer) => {
    const base = writeLayout(caller, [busyboxLayer(), layer]);
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN true\n' });
    return buildWith(caller, context, { base }, { env: { TSBUILD_UNPACK_LIMIT: '20m' } });
  };

  it('148 a layer that unpacks beyond the limit is stopped', () => {
    const zeros = Buffer.alloc(40 << 20);
    const header = tarOf([{ name: 'zeros', size: zeros.length }]).subarray(0, 512);
    const { status, text } = bomb(Buffer.concat([tarOf(USERS).subarray(0, 2048), header, zeros]));
    expect(text).toMatch(
      /error: refused to unpack an archive: ("zeros" alone is larger than 20 MiB|it unpacks to more than 20 MiB)\nhint: when it is what it should be, set TSBUILD_UNPACK_LIMIT/,
    );
    expect(status).toBe(1);
  });

  it('149 a layer of too many entries is stopped', () => {
    const block = tarOf([{ name: 'e' }]).subarray(0, 512);
    const { status, text } = bomb(Buffer.concat(Array.from({ length: 50_000 }, () => block)));
    expect(text).toContain('error: refused to unpack an archive: it unpacks to more than 20 MiB\n');
    expect(status).toBe(1);
  });

  it('150 a header that announces petabytes is refused', () => {
    const { status, text } = bomb(tarOf([{ name: 'huge', size: 2 ** 52 }]));
    expect(text).toContain('error: refused to unpack an archive: "huge" alone is larger than 20 MiB\n');
    expect(status).toBe(1);
  });

  it('151 a path beyond what the kernel takes is refused', () => {
    const { status, text } = build([{ name: `${'n'.repeat(250)}/`.repeat(20) }]);
    expect(text).toMatch(/error: cannot unpack "n+.*: ENAMETOOLONG/);
    expect(status).toBe(1);
  });

  it('152 names with line ends and control characters stay names', () => {
    const name = 'a\nb\u001b[2Jc';
    const out = join(caller.home, 'odd');
    expect(build([{ name, text: 'odd' }], 'RUN true', { flags: ['-o', out] }).status).toBe(0);
    expect(readFileSync(join(out, name), 'utf8')).toBe('odd');
  });

  it('153 a NUL in a long name is refused', () => {
    const record = (text: string): string => {
      for (let length = text.length; ; length++)
        if (`${length} ${text}\n`.length === length) return `${length} ${text}\n`;
    };
    const pax = { name: 'pax', type: 'file' as const, text: record('path=a\0/../../escaped') };
    const tar = tarOf([pax, { name: 'plain' }]);
    tar.write('x', 156);
    const sum = tar.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    const { status, text } = bomb(tar);
    expect(text).toContain('error: ');
    expect(status).toBe(1);
    nothingChanged();
  });

  it('154 a config with odd user, directory and variables is no way out', () => {
    const odd = { User: '../../root', Env: ['=x', 'NOEQUALS', 'A=\u0000B', 'LD_PRELOAD=/evil'] };
    const { status, text } = build([], 'RUN env', { config: odd });
    expect(text).not.toContain('internal error');
    expect(status).toBe(1);
    nothingChanged();
  });

  it('155 an image is written to a directory past the links that are there', () => {
    const out = join(caller.home, 'into');
    caller.run('mkdir', ['-p', out]);
    caller.run('ln', ['-s', outside.dir, join(out, 'd')]);
    caller.run('ln', ['-s', outside.canary, join(out, 'file')]);
    const entries = [
      { name: 'd/made', text: 'x' },
      { name: 'd/canary', text: 'x' },
      { name: 'file', text: 'x' },
    ];
    expect(build(entries, 'RUN true', { flags: ['-o', out] }).status).toBe(0);
    expect(readFileSync(join(out, 'd/made'), 'utf8')).toBe('x');
    nothingChanged();
  });

  it('156 links of an image are written to a directory as links', () => {
    const out = join(caller.home, 'linked');
    const entries = [link('l', outside.dir), link('m/n', outside.canary)];
    expect(build(entries, 'COPY f /l/made', { flags: ['-o', out] }).status).toBe(0);
    expect(existsSync(join(out, outside.dir, 'made'))).toBe(true);
    nothingChanged();
  });

  it('157 no name in a tar of an image leads up', () => {
    const out = join(caller.home, 'out.tar');
    const entries = [link('l', outside.dir), { name: 'l/made' }, { name: 'c', type: 'char' as const, rdev: NULL }];
    expect(build(entries, 'RUN true', { flags: ['-o', `type=tar,dest=${out}`] }).status).toBe(0);
    const names = caller.run('tar', ['-tf', out]).stdout.split('\n');
    expect(names.filter((name) => name.startsWith('/') || name.split('/').includes('..'))).toEqual([]);
  });

  describeNeeding(['runc'], 'through runc', () => {
    const throughRunc = { flags: ['--oci-runtime', 'runc', '--no-cache'] };

    it.each([
      [158, 'up', 'tmpfs,target=/m/up/made'],
      [159, 'host', 'cache,target=/m/host/made'],
      [160, 'magic', 'tmpfs,target=/m/magic/made'],
    ])('%d through runc, a mount below the link %s of another mount stays inside', (_number, _name, mount) => {
      const links = [
        link('d/up', `/..${outside.dir}`),
        link('d/host', `../../../../..${outside.dir}`),
        link('d/magic', '/proc/self/fd/3'),
      ];
      const steps = `RUN --mount=type=bind,from=base,source=/d,target=/m,rw --mount=type=${mount} cat /..${outside.canary} ${outside.canary}`;
      const { text } = build([{ name: 'd/' }, ...links], steps, throughRunc);
      expect(text).not.toContain(outside.secret);
      nothingChanged();
    });

    it('161 through runc, a null device of its own is refused', () => {
      const entries = [{ name: 'd0/' }, link('d0/null', outside.canary), { name: 'dev/' }];
      const steps = 'RUN --mount=type=bind,from=base,source=/d0,target=/dev,rw ["/bin/busybox", "cat", "/proc/keys"]';
      const { status, text } = build(entries, steps, throughRunc);
      expect(text).toContain('error: invalid mount target "/dev"');
      expect(status).toBe(1);
    });

    it.each([
      [162, 'proc'],
      [163, 'sys'],
      [164, 'dev'],
      [165, 'etc'],
    ])('%d through runc, a link in the place of /%s leads nothing out', (_number, name) => {
      const entries = name === 'etc' ? [link('etc/hosts', outside.canary)] : [link(name, `../..${outside.dir}`)];
      const { text } = build(entries, 'RUN echo x >/etc/hosts; true', throughRunc);
      expect(text).not.toContain(outside.secret);
      nothingChanged();
    });

    it('166 through runc, devices of a layer cannot be opened', () => {
      const device: Entry = { name: 'fuse', type: 'char', mode: 0o666, rdev: { major: 10, minor: 229 } };
      const { text } = build([device], 'RUN (: </fuse) && echo OPENED; true', throughRunc);
      expect(text).not.toMatch(/ OPENED$/m);
    });
  });
});
