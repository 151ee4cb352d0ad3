// The commands about what is kept: their names, flags and help.
import type { Command } from 'commander';
import type { DuFlags, PruneFlags } from './store-commands.ts';

/** What these commands call; each resolves to the exit code. */
export interface StoreCommands {
  du(flags: DuFlags): Promise<number>;
  prune(flags: PruneFlags): Promise<number>;
  rmi(names: readonly string[]): Promise<number>;
}

/** Adds them to the program; `run` waits for the work. */
export function addStoreCommands(
  program: Command,
  commands: StoreCommands,
  run: (work: Promise<number>) => Promise<void>,
): void {
  const list = (value: string, before: unknown): string[] => (Array.isArray(before) ? [...before, value] : [value]);
  program
    .command('du')
    .description('tell what the store takes on disk, by kind')
    .option('--json', 'as JSON')
    .action((flags: DuFlags) => run(commands.du(flags)));
  program
    .command('prune')
    .description('remove what no named image needs')
    .option('-a, --all', 'also cache mounts, pulled base images, logs, and the cache of layers that images have')
    .option('--filter <filter>', 'until=24h (not used for that long), type=snapshot|mount|log; may be repeated', list)
    .option('--keep-storage <size>', 'stop at this size of the whole store, such as 10g')
    .option('--json', 'as JSON')
    .action((flags: PruneFlags) => run(commands.prune(flags)));
  program
    .command('rmi')
    .description('remove names, and images that have none left')
    .argument('<name...>', 'names or image IDs')
    .action((names: readonly string[]) => run(commands.rmi(names)));
}
