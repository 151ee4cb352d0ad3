// Runs the commands about what is kept, each with the store open and closed again.
import { unreachable } from '../solver/errors.ts';
import type { Interrupt } from './cli/interrupt.ts';
import type { StoreCommands } from './cli/store-program.ts';
import { visibleLines } from './progress/clean-text.ts';
import type { Store } from './store/open-store.ts';
import { refusedError } from './store/store-errors.ts';

interface StoreCommandPorts {
  readonly open: () => Store;
  /** In a user namespace when not root: files of subordinate ids are to be counted and removed. */
  readonly becomeRoot: () => Promise<void>;
  readonly stdout: NodeJS.WriteStream;
  readonly now: () => number;
  readonly interruptible: (what: string) => Interrupt;
}

const SWEEP_BUDGET_MS = 60_000;

/** See cli/store-program.ts. */
export function storeCommands(ports: StoreCommandPorts): StoreCommands {
  const { stdout, now } = ports;
  const withStore = async (work: (store: Store) => string | Promise<string>, isJSON = false): Promise<number> => {
    await ports.becomeRoot();
    const store = ports.open();
    try {
      const text = await work(store);
      // Names come from anybody; JSON has its own way to write what a terminal would obey.
      stdout.write(isJSON ? text : visibleLines(text));
      return 0;
    } catch (error) {
      throw refusedError(store.root, error);
    } finally {
      store.close({ sweepBudgetMs: SWEEP_BUDGET_MS });
    }
  };
  const load = () => import('./cli/store-commands.ts');
  const loadHistory = () => import('./cli/history-commands.ts');
  return {
    du: (flags) => withStore(async (store) => (await load()).renderUsage(store, flags, now()), flags.json),
    prune: (flags) =>
      withStore(async (store) => {
        using interrupt = ports.interruptible('pruning');
        return await (await load()).pruneStore(store, flags, { nowMs: now(), signal: interrupt.signal });
      }, flags.json),
    history: (action, build, flags) =>
      withStore(async (store) => {
        const commands = await loadHistory();
        switch (action) {
          case 'ls':
            return commands.renderBuilds(store, flags, now());
          case 'inspect':
            return commands.renderBuild(store, build, flags);
          case 'rm':
            return commands.removeBuilds(store, (build ?? '').split(' '), flags);
          case 'logs':
            await commands.writeLogs(store, build, flags, (chunk) => stdout.write(chunk));
            return '';
          default:
            return unreachable(action);
        }
      }, flags.json),
    explain: (build, flags) =>
      withStore(async (store) => (await loadHistory()).renderExplanation(store, build, flags), flags.json),
    rmi: (names) => withStore(async (store) => (await load()).removeImages(store, names)),
  };
}
