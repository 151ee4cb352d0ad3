// One property with its seed: printed always, kept on failure beside the tests, given back by FUZZ_SEED.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { TsbuildError, TsbuildErrors } from '../../solver/errors.ts';

const SLOW_MS = 1000;
/** Multiplies the number of cases: FUZZ_TIMES=20 for a long run. */
const TIMES = Number(process.env['FUZZ_TIMES'] ?? '1');
const SEEDS_FILE = join(import.meta.dirname, 'failed-seeds.txt');

/** Runs the property; a failing seed is appended to failed-seeds.txt. Returns how many cases ran. */
export async function fuzz(name: string, cases: number, property: fc.IRawProperty<unknown>): Promise<number> {
  const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
  const numRuns = Math.ceil(cases * TIMES);
  process.stdout.write(`fuzz ${name}: seed ${seed}, ${numRuns} cases\n`);
  const details = await fc.check(property as fc.IAsyncProperty<unknown>, { seed, numRuns, endOnFailure: false });
  if (details.failed) {
    const report = fc.defaultReportMessage(details) ?? '';
    appendFileSync(SEEDS_FILE, `${name} seed=${seed} path=${details.counterexamplePath ?? ''}\n`);
    throw new Error(`${name}, FUZZ_SEED=${seed}: ${report}`, { cause: details.errorInstance });
  }
  return details.numRuns;
}

/** What the call gives, or undefined when it fails as it may: with an error for the user, in time. */
export function guarded<T>(call: () => T): T | undefined {
  const started = performance.now();
  try {
    return call();
  } catch (error) {
    checkError(error);
    return undefined;
  } finally {
    checkTime(started);
  }
}

/** The same for what is awaited. */
export async function guardedAsync<T>(call: () => Promise<T>): Promise<T | undefined> {
  const started = performance.now();
  try {
    return await call();
  } catch (error) {
    checkError(error);
    return undefined;
  } finally {
    checkTime(started);
  }
}

function checkError(error: unknown): void {
  const errors = error instanceof TsbuildErrors ? error.errors : [error];
  for (const one of errors) {
    if (!(one instanceof TsbuildError)) throw error;
    if (!/^TSB_[A-Z0-9_]+$/.test(one.code)) throw new Error(`odd code ${one.code}`);
    if (one.message === '' || /undefined|\[object|\n +at .*:\d+:\d+/.test(one.message)) throw one;
  }
}

function checkTime(started: number): void {
  const spent = performance.now() - started;
  if (spent > SLOW_MS) throw new Error(`took ${Math.round(spent)} ms`);
}
