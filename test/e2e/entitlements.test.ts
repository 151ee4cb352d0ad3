// What a RUN gets only when the user gives it: the host's network, all capabilities, an ssh agent.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Caller, describeCallers, makeBase, outputOf, rootCaller, writeContext } from './harness.ts';

const base = makeBase();

const build = (caller: Caller, text: string, flags: readonly string[] = [], env: Record<string, string> = {}) =>
  caller.tsbuild(
    [
      '--progress=plain',
      '--build-context',
      `base=oci-layout://${base}`,
      ...flags,
      writeContext(caller, { Dockerfile: text }),
    ],
    { env },
  );

describeCallers('entitlements', {}, (caller) => {
  it.each([
    ['--network=host', 'network.host'],
    ['--security=insecure', 'security.insecure'],
  ])('RUN %s is refused before anything runs, unless it is allowed', (flag, entitlement) => {
    const text = `FROM base\nRUN echo first\nRUN ${flag} echo second\n`;
    const refused = build(caller, text);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(`Dockerfile:3:1: error: ${entitlement} is not allowed\n`);
    expect(refused.stderr).not.toContain('echo first\n#');
    const allowed = build(caller, text, ['--allow', entitlement]);
    expect(allowed.status, outputOf(allowed)).toBe(0);
  });

  it('--network host allows itself', () => {
    const result = build(caller, 'FROM base\nRUN echo hello\nRUN --network=host echo there\n', ['--network', 'host']);
    expect(result.status, outputOf(result)).toBe(0);
  });

  it('an insecure RUN has all capabilities, no filter, and can write where others cannot', () => {
    const read =
      'while read -r name value; do case $name in CapBnd:|Seccomp:) echo $name $value;; esac; done < /proc/self/status';
    const write = 'test -w /proc/sys/kernel/hostname && echo "writable" || echo "read-only"';
    const text = `FROM base\nRUN ${read}; ${write}\nRUN --security=insecure ${read}; ${write}\n`;
    const output = outputOf(build(caller, text, ['--allow', 'security.insecure']));
    expect(output).toMatch(/CapBnd: 00000000a80425fb\n[\s\S]*Seccomp: 2\n[\s\S]*read-only\n/);
    // Root gets what this machine gives root, an ordinary user all of a namespace's own.
    const own = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    const all = caller.name === 'root' ? own : '0+1f+';
    expect(output).toMatch(new RegExp(`CapBnd: ${all}\\n[\\s\\S]*Seccomp: 0\\n`));
    if (caller.name === 'root') expect(output).toMatch(/ writable\n/);
  });
});

it('refuses an entitlement it does not know', () => {
  using caller = rootCaller();
  const result = caller.tsbuild(['--allow', 'device', '.']);
  expect(result.stderr).toContain('error: invalid --allow "device": expected network.host or security.insecure');
  expect(result.status).toBe(2);
});

describeCallers('ssh agents', { needs: ['ssh-agent', 'ssh-add', 'ssh-keygen', 'ldd'] }, (caller) => {
  let place: string;
  let agent: ChildProcess;
  const socket = () => join(place, 'agent');

  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'tsb-agent-'));
    const owner = caller.name === 'root' ? 'root' : caller.name;
    execFileSync('chown', [owner, place]);
    for (const name of ['one', 'two']) {
      expect(
        caller.run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', `key-${name}`, '-f', join(place, name)])
          .status,
      ).toBe(0);
    }
    const [program = '', ...args] = [...caller.prefix, 'ssh-agent', '-D', '-a', socket()];
    agent = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    await new Promise((resolve) => agent.stdout?.once('data', resolve));
    expect(caller.run('ssh-add', ['-q', join(place, 'one')], { env: { SSH_AUTH_SOCK: socket() } }).status).toBe(0);
  });
  afterAll(() => {
    agent.kill();
    rmSync(place, { recursive: true, force: true });
  });

  /** A context with ssh-add and its libraries, and a Dockerfile that runs it. */
  const run = (command: string, flags: readonly string[], options = '', env: Record<string, string> = {}) => {
    const context = writeContext(caller, {
      Dockerfile: `FROM base\nCOPY root /\nARG SALT=${Math.random()}\nRUN --mount=type=ssh${options} ${command}\n`,
    });
    for (const file of programFiles('/usr/bin/ssh-add')) {
      mkdirSync(join(context, 'root', dirname(file)), { recursive: true });
      copyFileSync(file, join(context, 'root', dirname(file), basename(file)));
    }
    return caller.tsbuild(['--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context], {
      env,
    });
  };

  it('gives a step the agent of $SSH_AUTH_SOCK', () => {
    const result = run('ssh-add -l', ['--ssh', 'default'], '', { SSH_AUTH_SOCK: socket() });
    expect(result.status, outputOf(result)).toBe(0);
    expect(result.stderr).toContain('key-one (ED25519)');
  });

  it('gives a step the agent behind a socket that was named, under its id', () => {
    const result = run('echo $SSH_AUTH_SOCK && ssh-add -l', ['--ssh', `work=${socket()}`], ',id=work,required');
    expect(result.stderr).toMatch(/\/run\/buildkit\/ssh_agent\.0\n[\s\S]*key-one/);
  });

  it('starts an agent for keys that were named, and ends it with the build', () => {
    const own = join(place, 'tmp');
    caller.run('mkdir', [own]);
    const keys = `default=${join(place, 'one')},${join(place, 'two')}`;
    const result = run('ssh-add -l', ['--ssh', keys], '', { TMPDIR: own });
    expect(result.stderr).toMatch(/key-one[\s\S]*key-two/);
    expect(agentsIn(own)).toEqual([]);
  });

  it('lets a step neither add keys nor remove them', () => {
    const result = run('! ssh-add -D && ssh-add -l', ['--ssh', `default=${socket()}`]);
    expect(result.status, outputOf(result)).toBe(0);
    expect(result.stderr).toContain('key-one');
  });

  it('is where the mount says, for the user it is given to', () => {
    const context = writeContext(caller, {
      Dockerfile:
        'FROM base\nUSER 7\nRUN --mount=type=ssh,uid=7,target=/agent test $SSH_AUTH_SOCK = /agent -a -S /agent -a -O /agent -a -w /agent\n',
    });
    const result = caller.tsbuild([
      '--build-context',
      `base=oci-layout://${base}`,
      '--ssh',
      `default=${socket()}`,
      context,
    ]);
    expect(result.status, outputOf(result)).toBe(0);
  });

  it('runs without an agent unless it is required', () => {
    expect(run('test ! -e $SSH_AUTH_SOCK', []).status).toBe(0);
    const result = run('true', [], ',required');
    expect(result.stderr).toContain('error: no SSH key "default" forwarded from the client');
    expect(result.status).toBe(1);
  });

  it('says what is wrong with --ssh', () => {
    expect(run('true', ['--ssh', 'default'], '', { SSH_AUTH_SOCK: '' }).stderr).toContain(
      'error: ssh agent default: invalid empty ssh agent socket',
    );
    expect(run('true', ['--ssh', `default=${join(place, 'one.pub')}`]).stderr).toContain(
      `error: ssh agent default: cannot use the key ${join(place, 'one.pub')}`,
    );
  });
});

function agentsIn(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => name.startsWith('tsbuild-ssh-'));
}

function programFiles(program: string): readonly string[] {
  const libraries = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [program, ...[...libraries.matchAll(/(?:=> |^\t)(\/\S+)/gm)].map((match) => match[1] ?? '')];
}
