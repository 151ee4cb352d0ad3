// Opens stores in temporary directories and removes them after each test.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { type OpenStoreOptions, openStore, type Store } from '../../src/store/open-store.ts';

interface StoreRig {
  /** A fresh directory. */
  root(): string;
  /** A store in a fresh directory, or in the given one. */
  open(root?: string, options?: OpenStoreOptions): Store;
}

/** Call it inside `describe`. */
export function storeRig(): StoreRig {
  const roots: string[] = [];
  const stores: Store[] = [];
  afterEach(() => {
    for (const store of stores.splice(0)) store.close();
    for (const root of roots.splice(0)) rmSync(root, { recursive: true, force: true });
  });
  const root = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'tsbuild-store-'));
    roots.push(path);
    return path;
  };
  return {
    root,
    open: (path = root(), options = {}) => {
      const store = openStore(path, options);
      stores.push(store);
      return store;
    },
  };
}

/** Code and text of what the function throws. */
export function thrown(run: () => unknown): {
  readonly code: unknown;
  readonly message: string;
  readonly hint: unknown;
} {
  try {
    run();
  } catch (error) {
    if (error instanceof Error) {
      return {
        code: 'code' in error ? error.code : undefined,
        message: error.message,
        hint: 'hint' in error ? error.hint : undefined,
      };
    }
  }
  throw new Error('nothing was thrown');
}
