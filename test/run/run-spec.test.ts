import { describe, expect, it } from 'vitest';
import type { ContainerConfig } from '../../frontend/image-config.ts';
import { normaliseRunOptions, type RawRunFlags } from '../../src/run/run-options.ts';
import { makeRunSpec } from '../../src/run/run-spec.ts';

const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const specOf = (config: ContainerConfig, flags: RawRunFlags = {}, command: readonly string[] = []) =>
  makeRunSpec({
    config,
    options: normaliseRunOptions(['app', ...command], flags, { env: {}, cwd: '/' }),
    rootfs: { lowerDirs: [] },
    hostname: 'h',
  });
const argsOf = (...args: Parameters<typeof specOf>) => specOf(...args).process.args;

describe('the process of tsbuild run', () => {
  const config: ContainerConfig = { Entrypoint: ['/entry', '-x'], Cmd: ['cmd'] };

  it("has the image's entrypoint with the command given, else the image's", () => {
    expect(argsOf(config)).toEqual(['/entry', '-x', 'cmd']);
    expect(argsOf(config, {}, ['other', '-y'])).toEqual(['/entry', '-x', 'other', '-y']);
  });

  it("drops the image's command with its entrypoint", () => {
    expect(argsOf(config, { entrypoint: '/new' })).toEqual(['/new']);
    expect(argsOf(config, { entrypoint: '/new' }, ['a'])).toEqual(['/new', 'a']);
    expect(argsOf(config, { entrypoint: '' }, ['a'])).toEqual(['a']);
  });

  it('must have a command', () => {
    expect(() => specOf({})).toThrow('no command given, and the image app names none');
    expect(() => specOf(config, { entrypoint: '' })).toThrow('no command given, and the image app names none');
  });

  it("puts the flags' variables in the place of the image's", () => {
    const env = specOf({ Cmd: ['x'], Env: ['A=1', 'B=2'] }, { env: ['A=3', 'C=4'], tty: true }).process.env;
    expect(env).toEqual([PATH, 'HOSTNAME=h', 'TERM=xterm', 'A=3', 'B=2', 'C=4']);
  });

  it('takes away a variable that is named without a value and is not here', () => {
    const env = specOf({ Cmd: ['x'], Env: ['A=1', 'B=2'] }, { env: ['A', 'HOSTNAME'] }).process.env;
    expect(env).toEqual([PATH, 'B=2']);
  });

  it("takes user and directory from the flags, else from the image, else root's", () => {
    const image: ContainerConfig = { Cmd: ['x'], User: 'app', WorkingDir: '/srv' };
    expect(specOf(image).process).toMatchObject({ user: 'app', cwd: '/srv' });
    expect(specOf(image, { user: '5:6', workdir: '/w' }).process).toMatchObject({ user: '5:6', cwd: '/w' });
    expect(specOf({ Cmd: ['x'] }).process).toMatchObject({ user: '0', cwd: '/' });
  });
});
