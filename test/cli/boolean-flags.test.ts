import { describe, expect, it } from 'vitest';
import { type Commands, runProgram } from '../../src/cli/program.ts';

/** Without what commander makes of `--no-cache-filter`. */
function plain(arg: unknown): unknown {
  if (typeof arg !== 'object' || arg === null || !('cacheFilter' in arg)) return arg;
  const { cacheFilter: _, ...flags } = arg;
  return flags;
}

/** The arguments of the command that argv leads to. */
async function given(...argv: readonly string[]): Promise<unknown> {
  let found: unknown;
  const take =
    (name: string) =>
    async (...args: unknown[]): Promise<number> => {
      found = [name, ...args.filter((arg) => arg !== undefined).map(plain)];
      return 0;
    };
  const names = ['build', 'images', 'debug', 'doctor', 'run', 'du', 'prune', 'rmi', 'history', 'explain'] as const;
  // Each command of the port, by its name.
  const commands = Object.fromEntries(names.map((name) => [name, take(name)])) as unknown as Commands;
  expect(await runProgram(argv, commands)).toBe(0);
  return found;
}

describe('flags without a value', () => {
  it.each([
    [
      ['--no-cache=false', '.'],
      ['build', '.', { cache: true }],
    ],
    [
      ['--no-cache=true', '.'],
      ['build', '.', { cache: false }],
    ],
    [
      ['build', '--pull=1', '--push=F', '-q=t', '.'],
      ['build', '.', { cache: true, pull: true, quiet: true }],
    ],
    [
      ['--load=false', '--check=False', '.'],
      ['build', '.', { cache: true }],
    ],
    [
      ['--quiet', '-q=false', '.'],
      ['build', '.', { cache: true }],
    ],
    [
      ['-q=false', '--quiet', '.'],
      ['build', '.', { cache: true, quiet: true }],
    ],
    [
      ['prune', '--all=true', '--json=false'],
      ['prune', { all: true }],
    ],
    [
      ['history', '--json=true'],
      ['history', 'ls', { json: true }],
    ],
    [
      ['history', '--json', '--json=false'],
      ['history', 'ls', {}],
    ],
    [
      ['history', 'ls', '--json=true'],
      ['history', 'ls', { json: true }],
    ],
  ])('%j may have one, as those of docker: the last one counts', async (argv, expected) => {
    expect(await given(...argv)).toEqual(expected);
  });

  it('are not looked for in values and operands', async () => {
    const build = (...argv: string[]) => given(...argv, '.');
    expect(await build('--build-arg', '--pull=false')).toMatchObject(['build', '.', { buildArg: ['--pull=false'] }]);
    expect(await build('-qt', '--pull=false')).toMatchObject(['build', '.', { quiet: true, tag: ['--pull=false'] }]);
    expect(await given('run', '-i=false', 'image', '-i=false')).toEqual(['run', ['image', '-i=false'], {}]);
    expect(await given('--', '--pull=false')).toEqual(['build', '--pull=false', { cache: true }]);
  });

  it('refuse what is neither true nor false', async () => {
    await expect(given('--pull=maybe', '.')).rejects.toMatchObject({
      code: 'TSB_USAGE_BOOLEAN',
      message: 'invalid value "maybe" of --pull: expected true or false',
      exitCode: 2,
    });
  });
});
