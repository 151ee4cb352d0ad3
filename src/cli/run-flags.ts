// The flags of `tsbuild run`, apart from its work, which is loaded only when it is asked for.
import type { Command } from 'commander';
import type { RawRunFlags } from '../run/run-options.ts';
import { addLimits } from './limit-flags.ts';
import { addToList } from './list-flag.ts';

/** The exit code of this command's own failures, wrong flags among them, as `docker run` has it. */
export const RUN_FAILED = 125;

/** Flags behind the image belong to its command. */
export function addRun(
  program: Command,
  action: (args: readonly [string, ...string[]], flags: RawRunFlags) => Promise<void>,
): void {
  const run = program
    .enablePositionalOptions()
    .command('run')
    .description('run a command in an image, in the sandbox of a build step')
    .argument('<IMAGE>', 'name, ID or oci-layout://… of the image; fetched when it is not here')
    .argument('[COMMAND...]', "command and arguments instead of the image's")
    .passThroughOptions()
    .showHelpAfterError('(tsbuild run --help lists the flags)')
    .option('-i, --interactive', 'pass standard input on')
    .option('-t, --tty', 'give the process a terminal')
    .option('-e, --env <name[=value]>', 'an environment variable; without a value the one from here', addToList)
    .option('-w, --workdir <dir>', "working directory instead of the image's")
    .option('-u, --user <user[:group]>', "user instead of the image's")
    .option('-v, --volume <source:/target[:ro]>', 'a file or directory of this machine at a path inside', addToList)
    .option('--network <mode>', 'default, host or none')
    .option('--name <name>', 'a name that no other run may have at the same time')
    .option('--hostname <name>', 'host name inside (default: a random one)')
    .option('--entrypoint <program>', "instead of the image's entrypoint and command")
    .option('--platform <os/arch>', "the image's platform (default: this machine's)")
    .option('--read-only', 'nothing but mounts can be written to')
    .option('--tmpfs <path[:options]>', 'an empty file system in memory at a path inside', addToList)
    .option('--shm-size <size>', 'size of /dev/shm, such as 64m')
    .option('--ulimit <name=soft[:hard]>', 'a limit of the process', addToList)
    .option('--add-host <host:ip>', 'an entry for /etc/hosts', addToList)
    .option('--oci-runtime <name>', 'run it with runc, crun, … (default: $TSBUILD_OCI_RUNTIME, else built-in)')
    .option('--rm', 'accepted: what the command writes is always thrown away');
  addLimits(run).action(async (image: string, command: readonly string[], flags: RawRunFlags) =>
    action([image, ...command], flags),
  );
}
