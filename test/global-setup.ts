// Before all tests: bundles the command, which the end-to-end tests run as users do.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Runs once per `vitest run`, before any test file. */
export function setup(): void {
  execFileSync(process.execPath, [join(import.meta.dirname, '..', '.build', 'bundle.mjs')], { stdio: 'inherit' });
}
