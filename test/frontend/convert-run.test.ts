// RUN: commands, heredocs and mounts, as they come out in the exec op.
import { describe, expect, test } from 'vitest';
import { convertText, execOf, fileOf, historyOf, messageOf, stepNames } from './convert-dockerfile.ts';
import type { ConvertTextOptions } from './convert-dockerfile.ts';

async function run(instruction: string, options: ConvertTextOptions = {}) {
  const conversion = await convertText(`FROM scratch\nWORKDIR /w\n${instruction}\n`, options);
  const head = conversion.definition.head?.vertex.op;
  if (head?.kind !== 'exec') throw new Error('no RUN');
  return { conversion, op: head, mounts: head.mounts.slice(1) };
}

describe('the command', () => {
  test('a shell form runs in the shell, an exec form by itself', async () => {
    expect((await run('RUN a  b')).op.meta.args).toEqual(['/bin/sh', '-c', 'a  b']);
    expect((await run('RUN ["a", "b c"]')).op.meta.args).toEqual(['a', 'b c']);
    expect((await run('RUN')).op.meta.args).toEqual(['/bin/sh', '-c', '']);
  });

  test('variables in it are the shell’s to expand; the shown line has them filled in', async () => {
    const { op, conversion } = await run('ENV A=1\nRUN echo $A $B "$A"');
    expect(op.meta.args.at(-1)).toBe('echo $A $B "$A"');
    expect(stepNames(conversion).at(-1)).toBe('[2/2] RUN echo 1 $B "1"');
  });

  test('a lone heredoc is the script', async () => {
    const { op, conversion } = await run('RUN <<E\necho one\necho two\nE');
    expect(op.meta.args).toEqual(['/bin/sh', '-c', 'echo one\necho two\n']);
    expect(stepNames(conversion).at(-1)).toBe('[2/2] RUN <<E (echo one...)');
    expect(historyOf(conversion).at(-1)).toBe('RUN /bin/sh -c echo one\necho two\n # buildkit');
  });

  test('a script with an interpreter is mounted and run', async () => {
    const { op, mounts, conversion } = await run('RUN <<E\n#!/usr/bin/env python\nprint(1)\nE');
    expect(op.meta.args).toEqual(['/bin/sh', '-c', '/dev/pipes/E']);
    expect(mounts).toEqual([
      { input: 1, selector: '/', dest: '/dev/pipes/', output: -1, readonly: true, type: 'bind' },
    ]);
    expect(fileOf(conversion, 'preparing inline document').actions[0]).toMatchObject({ path: '/E', mode: 0o755 });
  });

  test('heredocs beside a command are the shell’s to read, tabs and all', async () => {
    const { op } = await run('RUN cat <<-A 3<<B\n\ta\n\tA\nb\nB');
    expect(op.meta.args.at(-1)).toBe('cat <<-A 3<<B\n\ta\nA\nb\nB');
  });

  test('BUILDKIT_SANDBOX_HOSTNAME is the hostname, and no variable', async () => {
    const given = { hostname: 'h', buildArgs: { BUILDKIT_SANDBOX_HOSTNAME: 'sandbox' } };
    const { op } = await run('RUN x', given);
    expect(op.meta.hostname).toBe('sandbox');
    expect(op.meta.env).toEqual((await run('RUN x')).op.meta.env);
    const empty = { hostname: 'h', buildArgs: { BUILDKIT_SANDBOX_HOSTNAME: '' } };
    expect((await run('RUN x', empty)).op.meta.hostname).toBe('h');
  });

  test('user, directory, hostname, hosts and limits go along', async () => {
    const { op } = await run('USER app\nRUN x', {
      hostname: 'h',
      addHosts: [{ host: 'db', ip: '10.0.0.1' }],
      ulimits: [{ name: 'nofile', soft: 1, hard: 2 }],
      cgroupParent: 'g',
    });
    expect(op.meta).toMatchObject({
      cwd: '/w',
      user: 'app',
      hostname: 'h',
      extraHosts: [{ host: 'db', ip: '10.0.0.1' }],
      ulimits: [{ name: 'nofile', soft: 1, hard: 2 }],
      cgroupParent: 'g',
    });
  });

  test('a network flag wins over the build’s mode', async () => {
    expect((await run('RUN x', { network: 'host' })).op.network).toBe('host');
    expect((await run('RUN --network=none x', { network: 'host' })).op.network).toBe('none');
    expect((await run('RUN --security=insecure x')).op.security).toBe('insecure');
  });
});

describe('mounts', () => {
  test('trees, caches and tmpfs stand in the order of their targets, then secrets, then agents', async () => {
    const mounts = ['ssh', 'secret,id=s', 'tmpfs,target=/z,size=1m', 'cache,target=c', 'bind,target=/a,source=d'];
    const { op, mounts: placed } = await run(`RUN ${mounts.map((mount) => `--mount=type=${mount}`).join(' ')} x`);
    expect(placed).toEqual([
      { input: 1, dest: '/a', output: -1, selector: '/d', readonly: true, type: 'bind' },
      { input: -1, dest: '/w/c', output: -1, type: 'cache', cache: { id: '/c', sharing: 'shared' } },
      { input: -1, dest: '/z', output: -1, type: 'tmpfs', tmpfs: { sizeBytes: 1024 * 1024 } },
      {
        input: -1,
        dest: '/run/secrets/s',
        output: 0,
        type: 'secret',
        secret: { id: 's', uid: 0, gid: 0, mode: 0o400, optional: true },
      },
      {
        input: -1,
        dest: '/run/buildkit/ssh_agent.0',
        output: 0,
        type: 'ssh',
        ssh: { id: '', uid: 0, gid: 0, mode: 0o600, optional: true },
      },
    ]);
    expect(op.meta.env.at(-1)).toBe('SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0');
  });

  test('equal trees are one input', async () => {
    const { op, conversion } = await run('RUN --mount=target=/b,source=x --mount=target=/a,source=y z');
    expect(op.mounts.map(({ input, dest }) => [input, dest])).toEqual([
      [0, '/'],
      [1, '/a'],
      [1, '/b'],
    ]);
    expect(conversion.contexts).toEqual([{ name: 'context', paths: ['x', 'y'] }]);
  });

  test('a stage, an image and scratch can be mounted', async () => {
    const text =
      'FROM scratch AS s\nCOPY a /\nFROM scratch\nRUN --mount=from=S,target=/s --mount=from=scratch,target=/n x\n';
    const conversion = await convertText(text);
    expect(execOf(conversion, ' x').mounts.slice(1)).toEqual([
      { input: -1, dest: '/n', output: -1, readonly: true, type: 'bind' },
      { input: 0, dest: '/s', output: -1, readonly: true, type: 'bind' },
    ]);
  });

  test('a writable bind is thrown away', async () => {
    const { mounts } = await run('RUN --mount=target=/a,rw x');
    expect(mounts).toEqual([{ input: 1, dest: '/a', output: -1, type: 'bind' }]);
  });

  test('a cache with an owner begins as a directory that has it', async () => {
    const { mounts, conversion } = await run(
      'RUN --mount=type=cache,target=/c,id=my,uid=5,mode=0700,sharing=locked x',
      {
        buildArgs: { BUILDKIT_CACHE_MOUNT_NS: 'ns' },
      },
    );
    expect(mounts).toEqual([
      {
        input: 1,
        dest: '/c',
        output: -1,
        selector: '/cache',
        type: 'cache',
        cache: { id: 'ns/my', sharing: 'locked' },
      },
    ]);
    expect(fileOf(conversion, '[internal] setting cache mount permissions').actions).toEqual([
      {
        action: 'mkdir',
        input: -1,
        secondaryInput: -1,
        output: 0,
        path: '/cache',
        mode: 0o700,
        makeParents: false,
        owner: { user: { id: 5 }, group: { id: 0 } },
      },
    ]);
  });

  test('a secret as a variable is no file, and is masked where the line is shown', async () => {
    const { op, mounts, conversion } = await run('RUN --mount=type=secret,id=s,env=TOKEN,required use $TOKEN');
    expect(mounts).toEqual([]);
    expect(op.secretEnv).toEqual([{ id: 's', name: 'TOKEN', optional: false }]);
    expect(stepNames(conversion).at(-1)).toMatch(/use \*\*\*\*$/);
  });

  test('values are expanded, from is not', async () => {
    const { mounts } = await run('ARG T=/t\nRUN --mount=type=cache,target=$T,id=$T x');
    expect(mounts).toMatchObject([{ dest: '/t', cache: { id: '//t' } }]);
  });

  test('--shm-size is one more tmpfs', async () => {
    const { mounts } = await run('RUN x', { shmSizeBytes: 4096 });
    expect(mounts).toEqual([{ input: -1, dest: '/dev/shm', output: -1, type: 'tmpfs', tmpfs: { sizeBytes: 4096 } }]);
  });

  test('an agent takes no source', async () => {
    expect(await messageOf('FROM scratch\nRUN --mount=type=ssh,source=x true\n')).toBe('ssh does not support source');
  });

  test('a mount gives the only stage a name, as in BuildKit', async () => {
    const conversion = await convertText('FROM scratch\nRUN --mount=type=tmpfs,target=/t x\n');
    expect(stepNames(conversion)).toEqual(['[stage-0 1/1] RUN --mount=type=tmpfs,target=/t x']);
  });
});
