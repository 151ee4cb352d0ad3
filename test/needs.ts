// What a test needs of the machine. Only the title of one that is skipped says so, with what is missing.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it, type TestOptions } from 'vitest';

export const PROJECT = join(import.meta.dirname, '..');
/** Corpora, conformance cases and the lab's tools, where the project has them beside it. */
export const SHARED = join(PROJECT, '..', 'shared');
export const REGISTRY = process.env['TSBUILD_LAB_REGISTRY'] ?? '127.0.0.1:5000';

/** `root`, `lab` (its registry), a program on PATH, the path of a file; or anything with a name. */
export type Need = string | URL | { readonly name: string; readonly isHere: boolean };

/** Memory can be limited through a tree of its own, as on machines with version 1 cgroups. */
export const MEMORY_TREE: Need = {
  name: 'the tree of the memory controller',
  get isHere() {
    return /(^|,)memory[,:]/m.test(readFileSync('/proc/self/cgroup', 'utf8').replaceAll(/^\d+:/gm, ''));
  },
};

export const isRoot = process.getuid?.() === 0;

let labAnswers: boolean | undefined;

/** True when the lab's registry answers. */
function hasLab(): boolean {
  const script = `import urllib.request; urllib.request.urlopen("http://${REGISTRY}/v2/", timeout=2)`;
  labAnswers ??= spawnSync('python3', ['-c', script]).status === 0;
  return labAnswers;
}

/** True when all these programs are on PATH. */
export function hasPrograms(...names: readonly string[]): boolean {
  return names.every((name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0);
}

/** What is missing of all that, as a reason; nothing when the test can run. */
export function lackOf(needs: readonly Need[]): string | undefined {
  const missing = needs.filter((need) => !isHere(need)).map(nameOf);
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}`;
}

/** The title, with the reason when there is one. */
export function titled(title: string, lack: string | undefined): string {
  return lack === undefined ? title : `${title} [skipped: ${lack}]`;
}

/** `describe` for tests that need something of the machine. */
export function describeNeeding(
  needs: readonly Need[],
  title: string,
  tests: () => void,
  options: TestOptions = {},
): void {
  const lack = lackOf(needs);
  describe.skipIf(lack !== undefined)(titled(title, lack), options, tests);
}

/** `it` for a test that needs more of the machine than its neighbours. */
export function itNeeding(needs: readonly Need[], title: string, test: () => unknown, options: TestOptions = {}): void {
  const lack = lackOf(needs);
  it.skipIf(lack !== undefined)(titled(title, lack), options, async () => {
    await test();
  });
}

function isHere(need: Need): boolean {
  if (need instanceof URL) return existsSync(need);
  if (typeof need !== 'string') return need.isHere;
  if (need === 'root') return isRoot;
  if (need === 'lab') return hasLab();
  return need.startsWith('/') ? existsSync(need) : hasPrograms(need);
}

function nameOf(need: Need): string {
  if (need instanceof URL) return nameOf(fileURLToPath(need));
  if (typeof need !== 'string') return need.name;
  if (need.startsWith(SHARED)) return `../shared${need.slice(SHARED.length)}`;
  return need === 'lab' ? 'the lab registry' : need;
}
