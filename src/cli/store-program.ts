// The commands about what is kept: their names, flags and help.
import type { Command } from 'commander';
import type { HistoryFlags } from './history-commands.ts';
import { addToList } from './list-flag.ts';
import type { DuFlags, PruneFlags } from './store-commands.ts';

/** What these commands call; each resolves to the exit code. */
export interface StoreCommands {
  du(flags: DuFlags): Promise<number>;
  prune(flags: PruneFlags): Promise<number>;
  rmi(names: readonly string[]): Promise<number>;
  history(action: HistoryAction, build: string | undefined, flags: HistoryFlags): Promise<number>;
  explain(build: string | undefined, flags: HistoryFlags): Promise<number>;
}

type HistoryAction = 'ls' | 'inspect' | 'logs' | 'rm';

/** Adds them to the program; `run` waits for the work. */
export function addStoreCommands(
  program: Command,
  commands: StoreCommands,
  run: (work: Promise<number>) => Promise<void>,
): void {
  program
    .command('du')
    .description('tell what the store takes on disk, by kind')
    .option('-v, --verbose', 'also each cache mount, with its last use')
    .option('--json', 'as JSON')
    .action((flags: DuFlags) => run(commands.du(flags)));
  program
    .command('prune')
    .description('remove what no named image needs')
    .option('-a, --all', 'also cache mounts, pulled base images, logs, and the cache of layers that images have')
    .option(
      '--filter <filter>',
      'until=24h (not used for that long), type=snapshot|mount|log, id=ID (a cache mount); may be repeated',
      addToList,
    )
    .option('--keep-storage <size>', 'stop at this size of the whole store, such as 10g')
    .option('--json', 'as JSON')
    .action((flags: PruneFlags) => run(commands.prune(flags)));
  program
    .command('rmi')
    .description('remove names, and images that have none left')
    .argument('<name...>', 'names or image IDs')
    .action((names: readonly string[]) => run(commands.rmi(names)));
  addHistory(program, commands, run);
  program
    .command('explain')
    .description('tell why steps ran, or did not')
    .argument('[build[:step]]', 'a build, and a step by its number (default: all of the last build)')
    .option('--json', 'as JSON')
    .action((build: string | undefined, flags: HistoryFlags) => run(commands.explain(build, flags)));
}

const HISTORY: readonly (readonly [HistoryAction, string, string | undefined])[] = [
  ['ls', 'list the builds, the newest first', undefined],
  ['inspect', 'tell what became of a build and its steps', '[build]'],
  ['logs', 'print what the steps of a build wrote', '[build[:step]]'],
  ['rm', 'forget builds and their logs; `all` for every ended one', '<build...>'],
];

function addHistory(program: Command, commands: StoreCommands, run: (work: Promise<number>) => Promise<void>): void {
  const history = program.command('history').description('what was built: ls (also without a word), inspect, logs, rm');
  // Else the default one would take it for an argument too many.
  history.hook('preSubcommand', (_, chosen) => {
    const [word = '-'] = history.args;
    if (!word.startsWith('-') && word !== chosen.name()) {
      history.error(`error: unknown command '${word}'`, { code: 'commander.unknownCommand' });
    }
  });
  for (const [action, description, argument] of HISTORY) {
    const command = history
      .command(action, { isDefault: action === 'ls' })
      .description(description)
      .option('--json', 'as JSON');
    if (argument !== undefined) command.argument(argument);
    command.action((...given: readonly unknown[]) => {
      const [first, second] = given;
      const names = Array.isArray(first) ? first.join(' ') : first;
      const flags = (argument === undefined ? first : second) as HistoryFlags;
      return run(commands.history(action, typeof names === 'string' ? names : undefined, flags));
    });
  }
}
