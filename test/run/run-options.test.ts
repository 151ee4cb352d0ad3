import { describe, expect, it } from 'vitest';
import { normaliseRunOptions, type RawRunFlags } from '../../src/run/run-options.ts';

const read = (flags: RawRunFlags) => normaliseRunOptions(['app'], flags, { env: { HERE: 'x' }, cwd: '/here' });

describe('run options', () => {
  it('takes variables from the flag, else from the environment, else takes them away', () => {
    expect(read({ env: ['A=1=2', 'HERE', 'GONE', 'B='] }).env).toEqual(['A=1=2', 'HERE=x', 'GONE', 'B=']);
  });

  it('reads volumes', () => {
    expect(read({ volume: ['/a:/b', './c:/d:ro', '/e:/f:rw,z'] }).volumes).toEqual([
      { source: '/a', dest: '/b', isReadonly: false },
      { source: '/here/c', dest: '/d', isReadonly: true },
      { source: '/e', dest: '/f', isReadonly: false },
    ]);
  });

  it('reads file systems in memory', () => {
    const usual = { kind: 'tmpfs', readonly: false, isNoexec: true };
    expect(read({ tmpfs: ['/a', '/b:size=1m,mode=0700,exec,ro,uid=7,gid=8,nr_inodes=9,nosuid', '/c:'] }).tmpfs).toEqual(
      [
        { ...usual, dest: '/a' },
        {
          ...usual,
          dest: '/b',
          sizeBytes: 1 << 20,
          mode: 0o700,
          isNoexec: false,
          readonly: true,
          uid: 7,
          gid: 8,
          inodes: 9,
        },
        { ...usual, dest: '/c' },
      ],
    );
  });

  it('reads what is inside as a build does', () => {
    const { shmSizeBytes, ulimits, addHosts, isRootReadonly } = read({
      shmSize: '1m',
      ulimit: ['nofile=5:6', 'core=-1'],
      addHost: ['a:10.0.0.1'],
      readOnly: true,
    });
    expect({ shmSizeBytes, ulimits, addHosts, isRootReadonly }).toEqual({
      shmSizeBytes: 1 << 20,
      ulimits: [
        { name: 'nofile', soft: 5, hard: 6 },
        { name: 'core', soft: -1, hard: -1 },
      ],
      addHosts: [{ host: 'a', ip: '10.0.0.1' }],
      isRootReadonly: true,
    });
    expect(read({ shmSize: '0' }).shmSizeBytes).toBeUndefined();
  });

  it.each<[RawRunFlags, string]>([
    [{ hostname: 'bad host' }, 'invalid --hostname "bad host": expected up to 64 letters, digits and _.-'],
    [{ tmpfs: ['x'] }, 'invalid --tmpfs "x": expected /PATH or /PATH:OPTIONS'],
    [{ tmpfs: ['/'] }, 'invalid --tmpfs "/": expected /PATH or /PATH:OPTIONS'],
    [{ tmpfs: ['/x:suid'] }, 'invalid --tmpfs "/x:suid": there is no option "suid"'],
    [{ tmpfs: ['/x:mode=9'] }, 'invalid --tmpfs "/x:mode=9": mode="9" is no number'],
    [{ tmpfs: ['/x:size=y'] }, 'invalid --tmpfs size "y": expected a size such as 64m'],
    [{ tmpfs: ['/x'], volume: ['/a:/x/'] }, 'several --volume or --tmpfs for /x'],
    [{ ulimit: ['files=1'] }, 'invalid --ulimit "files=1": there is no limit "files"'],
    [{ shmSize: 'big' }, 'invalid --shm-size "big": expected a size such as 64m'],
    [{ volume: ['data:/d'] }, 'a named volume in --volume "data:/d" is not supported'],
    [{ volume: ['/a'] }, 'invalid --volume "/a": expected SOURCE:/TARGET or SOURCE:/TARGET:ro'],
    [{ volume: ['/a:b'] }, 'invalid --volume "/a:b": expected SOURCE:/TARGET or SOURCE:/TARGET:ro'],
    [{ volume: ['/a:/b:shared'] }, 'invalid --volume "/a:/b:shared": expected SOURCE:/TARGET or SOURCE:/TARGET:ro'],
    [{ workdir: 'x' }, 'invalid --workdir "x": expected an absolute path'],
    [{ env: ['=x'] }, 'invalid --env "=x": expected NAME=VALUE or NAME'],
    [{ name: '../x' }, 'invalid --name "../x": expected letters, digits and _.-'],
    [{ network: 'bridge' }, 'invalid --network "bridge": expected default, host or none'],
  ])('refuses %j', (flags, message) => {
    expect(() => read(flags)).toThrow(message);
  });
});
