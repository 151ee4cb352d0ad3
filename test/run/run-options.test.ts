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

  it.each<[RawRunFlags, string]>([
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
