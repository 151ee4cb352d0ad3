// Odd and unreadable input that is not the Dockerfile's text: contexts, names, programs of other machines, refused rights.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeNeeding, itNeeding } from '../needs.ts';
import { type Caller, describeRoot, makeBase, outputOf, USER_NEEDS, userCaller, writeContext } from './harness.ts';

const base = makeBase();

const buildAs = (caller: Caller, context: string, ...flags: string[]) => {
  const named = ['-t', 'odd:1', '--build-context', `base=oci-layout://${base}`];
  const result = caller.tsbuild(['build', '--progress=plain', ...named, ...flags, context]);
  return { status: result.status, text: outputOf(result) };
};

describeRoot('odd input', {}, (caller) => {
  const build = (files: Parameters<typeof writeContext>[1], ...flags: string[]) =>
    buildAs(caller, writeContext(caller, files), ...flags);
  const simple = { Dockerfile: 'FROM base\nCOPY Dockerfile /d\n' };

  it.each([
    ['x=nosuch://z', 'invalid --build-context "x=nosuch://z": there is no kind "nosuch"', 2],
    ['x=target:', 'invalid --build-context "x=target:": there is no kind "target"', 2],
    ['x=', 'invalid --build-context "x=": it names nothing', 2],
    ['x', 'invalid --build-context "x": expected NAME=VALUE', 2],
    ['x=/no/such/dir', 'build context "/no/such/dir" does not exist', 1],
    ['x=git@host:a.git?tag=a&branch=b', 'branch conflicts with tag', 1],
  ])('says what is wrong with --build-context %s', (text, message, exitCode) => {
    const { status, text: shown } = build(simple, '--build-context', text);
    expect(shown).toContain(`error: ${message}\n`);
    expect(status).toBe(exitCode);
  });

  it.each([
    ['--iidfile', '/no/such/id', 'the directory "/no/such" does not exist'],
    ['--metadata-file', '/no/such/m', 'the directory "/no/such" does not exist'],
    ['--iidfile', '/var/tmp', '"/var/tmp" is a directory'],
    ['-o', 'type=oci,dest=/no/such/o.tar', 'the directory "/no/such" does not exist'],
  ])('refuses %s %s before anything is built', (flag, value, reason) => {
    const { status, text } = build(simple, flag, value);
    const dest = value.replace(/.*dest=/, '');
    expect(text).toMatch(`error: invalid output destination "${dest}": ${reason}\nhint: `);
    expect(text).not.toContain('#1');
    expect(status).toBe(2);
  });

  it.each([
    ['Foo:1', 'repository name (library/Foo) must be lowercase'],
    ['foo:B AD', ''],
  ])('refuses the tag %s', (tag, reason) => {
    const { status, text } = build(simple, '-t', tag);
    expect(text).toContain(`error: invalid tag "${tag}": invalid reference format${reason && `: ${reason}`}\n`);
    expect(status).toBe(2);
  });

  it('ends with an error where a directory cannot be made', () => {
    const { status, text } = build(simple, '-o', '/proc/none/x');
    expect(text).toContain(
      'error: cannot write "/proc/none/x": a directory of its path does not exist and cannot be made\n',
    );
    expect(status).toBe(1);
  });

  it('copies links that lead in a circle as they are, and names one that is asked for', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY . /all\nRUN ls -l /all\n' });
    symlinkSync('b', join(context, 'a'));
    symlinkSync('a', join(context, 'b'));
    symlinkSync('.', join(context, 'self'));
    expect(buildAs(caller, context).text).toMatch(/a -> b$/m);
    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY a/x /x\n');
    const { status, text } = buildAs(caller, context);
    expect(text).toContain('Dockerfile:2:1: error: too many symbolic links in "/a/x"\n');
    expect(status).toBe(1);
  });

  it('copies names that are long, and names that are no UTF-8', () => {
    const name = 'n'.repeat(250);
    const context = writeContext(caller, {
      Dockerfile: 'FROM base\nCOPY . /all\n',
      [`${name}/${name}/${name}`]: 'long',
    });
    writeFileSync(Buffer.concat([Buffer.from(`${context}/caf`), Buffer.from([0xe9, 0xff])]), 'odd');
    const dest = join(caller.home, 'out');
    expect(buildAs(caller, context, '-o', `type=local,dest=${dest}`).status).toBe(0);
    expect(readFileSync(join(dest, 'all', name, name, name), 'utf8')).toBe('long');
    expect(readFileSync(Buffer.concat([Buffer.from(`${dest}/all/caf`), Buffer.from([0xe9, 0xff])]), 'utf8')).toBe(
      'odd',
    );
  });

  it('reads a Dockerfile with CRLF', () => {
    const dockerfile = 'FROM base\r\nRUN echo one && \\\r\n  echo two\r\nRUN <<EOF\r\necho three\r\nEOF\r\n';
    const { status, text } = build({ Dockerfile: dockerfile });
    expect(text).toMatch(/^#\d+ [\d.]+ two$/m);
    expect(text).toMatch(/^#\d+ [\d.]+ three$/m);
    expect(status).toBe(0);
  });

  it.each([
    ['', 'error: the Dockerfile cannot be empty\nhint: there is nothing in Dockerfile\n'],
    ['# nothing\n', 'error: file with no instructions\n'],
  ])('says that the Dockerfile %j has nothing in it', (dockerfile, message) => {
    const { status, text } = build({ Dockerfile: dockerfile });
    expect(text).toContain(message);
    expect(status).toBe(1);
  });

  it('copies onto more than 500 layers, and says that no process can run there', { timeout: 400_000 }, () => {
    const copies = Array.from({ length: 501 }, (_, n) => `COPY Dockerfile /f${n}\n`).join('');
    expect(build({ Dockerfile: `FROM base\n${copies}` }).status).toBe(0);
    const { status, text } = build({ Dockerfile: `FROM base\n${copies}RUN true\n` });
    expect(text).toContain('error: a process cannot run on 502 layers: overlayfs takes 500 at most\nhint: join steps');
    expect(status).toBe(1);
  });

  const noEmulation = {
    name: 'a machine that does not emulate s390x',
    isHere: !existsSync('/proc/sys/fs/binfmt_misc/qemu-s390x'),
  };
  itNeeding([noEmulation], 'names the machine a foreign program is for, and the way to emulation', () => {
    const context = writeContext(caller, {
      Dockerfile: 'FROM base\nCOPY prog /prog\nRUN ["/prog"]\n',
      prog: foreignProgram(),
    });
    chmodSync(join(context, 'prog'), 0o755);
    const { status, text } = buildAs(caller, context);
    const own = process.arch === 'x64' ? 'amd64' : process.arch;
    expect(text).toContain(
      `hint: "/prog" is a program for linux/s390x, this machine is linux/${own}: build with --platform linux/${own}, or install emulation (as root: apt-get install qemu-user-static binfmt-support), which adds /proc/sys/fs/binfmt_misc/qemu-s390x\n`,
    );
    expect(status).toBe(1);
  });

  itNeeding(['python3'], 'says what refuses user namespaces to an ordinary user', () => {
    using user = userCaller();
    const context = writeContext(user, simple);
    const store = join(user.home, 'never');
    const ids = ['-u', '-g'].map((flag) => execFileSync('id', [flag, 'tsbuild-test'], { encoding: 'utf8' }).trim());
    const result = caller.run('python3', ['-c', NO_NAMESPACES, ...ids, ...user.command, 'build', context], { store });
    expect(outputOf(result)).toBe(
      'error: this user may not make a user namespace\nhint: as root, run: sysctl -w user.max_user_namespaces=15000 (or build as root)\n',
    );
    expect(result.status).toBe(1);
    expect(existsSync(store)).toBe(false);
  });
});

describeNeeding(USER_NEEDS, 'an ordinary user', () => {
  it('is told which file of the context cannot be read', () => {
    using user = userCaller();
    const context = writeContext(user, { Dockerfile: 'FROM base\nCOPY . /all\n' });
    writeFileSync(join(context, 'secret.pem'), 'x', { mode: 0o600 });
    const { status, text } = buildAs(user, context);
    expect(text).toContain(
      'Dockerfile:2:1: error: no permission to read "/secret.pem"\nhint: change its mode, or name it in .dockerignore when the build does not need it\n',
    );
    expect(status).toBe(1);
    mkdirSync(join(context, 'closed'), { mode: 0o700 });
    writeFileSync(join(context, '.dockerignore'), 'secret.pem\n');
    expect(buildAs(user, context).text).toContain('error: no permission to read "/closed"\n');
    writeFileSync(join(context, '.dockerignore'), 'secret.pem\nclosed\n');
    expect(buildAs(user, context).status).toBe(0);
    expect(readdirSync(join(user.home, 'store', 'tmp')).filter((name) => name !== 'sandbox')).toEqual([]);
  });
});

/** An ELF header for s390x, which is nothing that this machine runs by itself. */
function foreignProgram(): Buffer {
  const header = Buffer.alloc(120);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 2, 1]);
  header.writeUInt16BE(2, 16);
  header.writeUInt16BE(22, 18);
  return header;
}

/** Runs a command as the user and group given, in a user namespace that allows no further ones. */
const NO_NAMESPACES = `
import ctypes, os, sys
uid, gid = int(sys.argv[1]), int(sys.argv[2])
up, down = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    ctypes.CDLL(None).unshare(0x10000000)
    os.write(up[1], b'.'); os.read(down[0], 1)
    open('/proc/sys/user/max_user_namespaces', 'w').write('0')
    os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
    os.execvp(sys.argv[3], sys.argv[3:])
os.read(up[0], 1)
for kind in ('uid', 'gid'):
    open(f'/proc/{pid}/{kind}_map', 'w').write('0 0 4294967295')
os.write(down[1], b'.')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
