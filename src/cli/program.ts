// The command line: names, flags and their help. Each command's work is loaded only when it is asked for.
import { Command, CommanderError } from 'commander';
import { VERSION } from '../version.ts';
import type { RawRunFlags } from '../run/run-options.ts';
import { readBooleans } from './boolean-flags.ts';
import { addLimits } from './limit-flags.ts';
import { addToList } from './list-flag.ts';
import type { RawBuildFlags } from './options.ts';
import { addStoreCommands, type StoreCommands } from './store-program.ts';
import { addRun, RUN_FAILED } from './run-flags.ts';

/** What the program calls; each resolves to the exit code. */
export interface Commands extends StoreCommands {
  build(context: string | undefined, flags: RawBuildFlags): Promise<number>;
  images(flags: ImagesFlags): Promise<number>;
  debug(build: string | undefined, flags: DebugFlags): Promise<number>;
  doctor(flags: DoctorFlags): Promise<number>;
  run(args: readonly [string, ...string[]], flags: RawRunFlags): Promise<number>;
}

/** Of `tsbuild images`. */
export interface ImagesFlags {
  readonly json?: boolean;
  readonly quiet?: boolean;
}

/** Of `tsbuild doctor`; `store` has it read every blob and layer. */
export interface DoctorFlags {
  readonly json?: boolean;
  readonly store?: boolean;
}

/** Of `tsbuild debug`: the state before the failed step instead of after it, and a command instead of a shell. */
export interface DebugFlags {
  readonly before?: boolean;
  readonly command?: string;
}

/** Runs the command that argv names and resolves to its exit code; usage errors are 2, of `run` 125. */
export async function runProgram(argv: readonly string[], commands: Commands): Promise<number> {
  let exitCode = 0;
  const run = async (work: Promise<number>): Promise<void> => {
    exitCode = await work;
  };
  const program = new Command('tsbuild')
    .description('Builds images from Dockerfiles: no daemon, no root needed.')
    .version(`tsbuild ${VERSION}`, '--version', 'print the version')
    .showHelpAfterError('(tsbuild --help lists the commands, tsbuild build --help the flags)')
    .exitOverride();
  addBuild(program, (context, flags) => run(commands.build(context, flags)));
  addImages(program, (flags) => run(commands.images(flags)));
  addDebug(program, (build, flags) => run(commands.debug(build, flags)));
  addStoreCommands(program, commands, run);
  addDoctor(program, (flags) => run(commands.doctor(flags)));
  addRun(program, (args, flags) => run(commands.run(args, flags)));
  program
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(`tsbuild ${VERSION}\n`);
    });
  try {
    await program.parseAsync(readBooleans(program, argv), { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : argv[0] === 'run' ? RUN_FAILED : 2;
    throw error;
  }
}

function addBuild(
  program: Command,
  action: (context: string | undefined, flags: RawBuildFlags) => Promise<void>,
): void {
  const build = program
    .command('build', { isDefault: true })
    .description('build an image from a Dockerfile (the default command)')
    .argument('[PATH]', 'directory that is the build context, or - for standard input')
    .option('-t, --tag <name>', 'name the image, as `name:tag`; may be repeated', addToList)
    .option('-f, --file <file>', 'the Dockerfile (default: PATH/Dockerfile); - for standard input')
    .option('--build-arg <key[=value]>', 'set an ARG; without a value it is taken from the environment', addToList)
    .option(
      '--build-context <name=source>',
      'a named context: docker-image://…, oci-layout://…, a directory',
      addToList,
    )
    .option('--source-policy-file <file>', 'rules on what may be fetched, as JSON')
    .option('--target <stage>', 'the stage to build (default: the last)')
    .option(
      '--platform <os/arch,…>',
      "the platforms to build for (default: this machine's)",
      (value, before: string) => (before === undefined ? value : `${before},${value}`),
    )
    .option('--no-cache', 'run every step; results are still kept')
    .option('--no-cache-filter <stage|file:line,…>', 'run every step of these stages, or on these lines', addToList)
    .option('--pull', 'ask the registry for base images even when a local one has the name')
    .option('--network <mode>', 'network of RUN: default, host or none')
    .option('--add-host <host:ip>', 'an entry for /etc/hosts in RUN', addToList)
    .option('--shm-size <size>', 'size of /dev/shm in RUN, such as 64m')
    .option('--ulimit <name=soft[:hard]>', 'a limit in RUN', addToList)
    .option(
      '--secret <id=…,src=…>',
      'a secret for RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE',
      addToList,
    )
    .option('--ssh <default|id=path>', 'an ssh agent for RUN --mount=type=ssh: its socket, or a key', addToList)
    .option('--allow <entitlement>', 'let RUN use network.host or security.insecure', addToList)
    .option('--label <key=value>', 'a label of the image', addToList)
    .option('-o, --output <type=…>', 'also write it out: type=oci|docker|local|tar,dest=PATH', addToList)
    .option('--load', 'accepted: the image is always kept in the local image store')
    .option('--push', 'push the image to the registries its names say, as with -o type=registry')
    .option(
      '--cache-from <type=…>',
      'look steps up in this cache, too: an image name, or type=registry|local,…',
      addToList,
    )
    .option('--cache-to <type=…>', 'export the cache: type=registry|local|inline,…', addToList)
    .option('--iidfile <file>', 'write the image ID to a file')
    .option('--metadata-file <file>', 'write what was made to a JSON file')
    .option('--check', 'look for mistakes instead of building (--call=check)')
    .option('--call <method>', 'build, check, outline or targets; with ,format=json for JSON')
    .option('--progress <mode>', 'auto, tty, plain or quiet')
    .option('-q, --quiet', 'print nothing but the image ID')
    .option('--oci-runtime <name>', 'run the steps with runc, crun, … (default: $TSBUILD_OCI_RUNTIME, else built-in)');
  addLimits(build).action(async (context: string | undefined, flags: RawBuildFlags) =>
    action(context, withStageFilter(flags)),
  );
}

/**
 * Commander reads `--no-cache-filter` as the negation of a flag named `cacheFilter` (true by default); its values arrive under that name.
 */
function withStageFilter(flags: RawBuildFlags & { readonly cacheFilter?: unknown }): RawBuildFlags {
  return Array.isArray(flags.cacheFilter) ? { ...flags, noCacheFilter: flags.cacheFilter as readonly string[] } : flags;
}

function addImages(program: Command, action: (flags: ImagesFlags) => Promise<void>): void {
  program
    .command('images')
    .description('list the images in the local image store')
    .option('--json', 'one JSON object a line')
    .option('-q, --quiet', 'print the image IDs only')
    .action(action);
}

function addDoctor(program: Command, action: (flags: DoctorFlags) => Promise<void>): void {
  program
    .command('doctor')
    .description('say whether this machine can build, and what keeps it from it')
    .option('--json', 'as one JSON object')
    .option('--store', 'also recompute the digest of every blob and layer in the store')
    .action(action);
}

function addDebug(program: Command, action: (build: string | undefined, flags: DebugFlags) => Promise<void>): void {
  program
    .command('debug')
    .description('open a shell in the state of the last failed step, or in that of a build')
    .argument('[build]', 'a build of which a failed step is kept, as tsbuild history lists it')
    .option('--before', 'in the last good layer instead, just before the step')
    .option('-c, --command <command>', 'run this instead of an interactive shell')
    .action(action);
}
