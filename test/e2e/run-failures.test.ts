// How `tsbuild run` says that it could not do what was asked: 125, 126 and 127 as `docker run`, and the exact words.
import { describe, expect, it } from 'vitest';
import { describeCallers } from './harness.ts';
import { BUSYBOX, buildApp, RUNTIMES } from './run-app.ts';

const FLAGS_HINT = '(tsbuild run --help lists the flags)\n';
const BUILT_IN_HINT = 'leave out --oci-runtime (and TSBUILD_OCI_RUNTIME) to use the built-in sandbox';

/** Flags and command, what is said, and the exit code. */
type Failure = readonly [args: readonly string[], stderr: string, code: number];

const USAGE: readonly Failure[] = [
  [['--nosuch', 'app:1'], `error: unknown option '--nosuch'\n${FLAGS_HINT}`, 125],
  [[], `error: missing required argument 'IMAGE'\n${FLAGS_HINT}`, 125],
  [['-e'], `error: option '-e, --env <name[=value]>' argument missing\n${FLAGS_HINT}`, 125],
  [['-e', '=x', 'app:1'], 'error: invalid --env "=x": expected NAME=VALUE or NAME\n', 125],
  [['-w', 'x', 'app:1'], 'error: invalid --workdir "x": expected an absolute path\n', 125],
  [['-v', '/a', 'app:1'], 'error: invalid --volume "/a": expected SOURCE:/TARGET or SOURCE:/TARGET:ro\n', 125],
  [['--network=x', 'app:1'], 'error: invalid --network "x": expected default, host or none\n', 125],
  [['-m', 'x', 'app:1'], 'error: invalid --memory "x": expected a size such as 64m\n', 125],
  [['App:1'], 'error: invalid reference format: repository name (library/App) must be lowercase\n', 125],
  [
    ['-it', 'app:1'],
    'error: the input device is not a terminal\nhint: leave out -t to read from a file or a pipe\n',
    125,
  ],
];

const SANDBOX: readonly Failure[] = [
  [
    ['--entrypoint=', 'app:1'],
    'error: no command given, and the image app:1 names none\nhint: such as: tsbuild run -it app:1 sh\n',
    125,
  ],
  [['-u', 'nosuch', 'app:1', 'true'], 'error: unable to find user nosuch: no matching entries in passwd file\n', 125],
  [['-u', '0:nosuch', 'app:1', 'true'], 'error: unable to find group nosuch: no matching entries in group file\n', 125],
  [['-v', '/tmp:/proc', 'app:1', 'true'], 'error: invalid mount target "/proc"\n', 125],
  [
    ['-v', '/etc/passwd/x:/y', 'app:1', 'true'],
    "error: the directory /etc/passwd/x of --volume cannot be made: ENOTDIR: not a directory, mkdir '/etc/passwd/x'\n",
    125,
  ],
  [
    ['--oci-runtime', 'nosuch', 'app:1', 'true'],
    `error: the OCI runtime "nosuch" is not on PATH\nhint: install it, give its path, or leave out --oci-runtime to use the built-in sandbox\n`,
    125,
  ],
];

const COMMANDS: readonly Failure[] = [
  [['app:1', 'nosuch'], 'error: exec: "nosuch": executable file not found in $PATH\n', 127],
  [['app:1', '/nosuch'], 'error: exec: "/nosuch": no such file or directory\n', 127],
  [['app:1', '/etc/passwd/x'], 'error: exec: "/etc/passwd/x": not a directory\n', 127],
  [['app:1', '/etc/passwd'], 'error: exec: "/etc/passwd": permission denied\n', 126],
  [['app:1', '/tmp'], 'error: exec: "/tmp": permission denied\n', 126],
  [
    ['app:1', '/etc/text'],
    'error: exec: "/etc/text": exec format error\nhint: the image may be for another machine type: choose one with --platform, or install emulation (qemu-user-static, binfmt-support)\n',
    126,
  ],
];

describeCallers('failures of tsbuild run', { needs: ['root', BUSYBOX] }, (caller) => {
  buildApp(caller, 'COPY passwd /etc/passwd\nCOPY text /etc/text\n', {
    passwd: 'root:x:0:0::/root:/bin/sh\n',
    text: { text: 'text\n', mode: 0o755 },
  });
  const failure = (args: readonly string[]): Failure => {
    const { status, stderr, stdout } = caller.tsbuild(['run', ...args]);
    expect(stdout).toBe('');
    return [args, stderr, status ?? -1];
  };

  it.each(USAGE)('%j is wrong usage', (...expected) => expect(failure(expected[0])).toEqual(expected));

  it.each(SANDBOX)('%j cannot be run', (...expected) => expect(failure(expected[0])).toEqual(expected));

  it('a working directory that is a file cannot be gone to', () => {
    expect(failure(['-w', '/etc/passwd', 'app:1', 'true']).slice(1)).toEqual([
      'error: the sandbox could not change to the working directory /etc/passwd: chdir: ENOTDIR\n',
      125,
    ]);
  });

  it('a runtime that fails is quoted', () => {
    expect(failure(['--oci-runtime', '/nosuch', 'app:1', 'true']).slice(1)).toEqual([
      'error: the sandbox could not start the runtime /nosuch: execve: ENOENT\n',
      125,
    ]);
  });

  describe.each(RUNTIMES)('with the runtime %j', (runtime) => {
    it.each(COMMANDS)('%j cannot be executed', (...expected) => {
      expect(failure(['--oci-runtime', runtime, ...expected[0]]).slice(1)).toEqual(expected.slice(1));
    });
  });

  it.skipIf(!RUNTIMES.includes('runc'))('what runc says is said once', () => {
    expect(failure(['--oci-runtime', 'runc', '-w', '/etc/passwd', 'app:1', 'true']).slice(1)).toEqual([
      `error: the OCI runtime runc failed: runc run failed: unable to start container process: error during container init: mkdir /etc/passwd: not a directory\nhint: ${BUILT_IN_HINT}\n`,
      125,
    ]);
  });
});
