// Before all tests: bundles the command, which the end-to-end tests run as users do, and makes a directory for what they share.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** A directory that everyone may read, removed after the last test. */
    readonly sharedPlace: string;
  }
}

/** Runs once per `vitest run`, before any test file; what it returns runs after the last one. */
export function setup(project: TestProject): () => void {
  execFileSync(process.execPath, [join(import.meta.dirname, '..', '.build', 'bundle.mjs')], { stdio: 'inherit' });
  const place = mkdtempSync(join(tmpdir(), 'tsbuild-e2e-'));
  chmodSync(place, 0o755);
  project.provide('sharedPlace', place);
  return () => rmSync(place, { recursive: true, force: true });
}
