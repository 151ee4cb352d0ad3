// Does a step cost more on a larger base? Times 30 trivial RUNs on bases of 10 and of 100,000 files, in turns, and prints the
// medians; they may differ by a tenth on a quiet machine.
//   npm run build && node .build/base-files.mjs [ROUNDS]
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const rounds = Number(process.argv[2] ?? 7);
const place = mkdtempSync(join(tmpdir(), 'tsbuild-base-files-'));
const env = { ...process.env, TSBUILD_ROOT: join(place, 'store') };
const tsbuild = (...args) =>
  execFileSync(process.execPath, [join(root, 'dist/tsbuild.js'), 'build', '-q', ...args], { env });
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

try {
  const shell = join(place, 'shell');
  execFileSync(process.execPath, [join(root, '.build/make-base.mjs'), shell]);
  const sizes = [10, 100_000];
  for (const size of sizes) prepare(size, shell);
  const times = new Map(sizes.map((size) => [size, []]));
  for (let round = 0; round < rounds; round++) {
    for (const size of sizes) {
      const start = performance.now();
      tsbuild('--no-cache', join(place, `run-${size}`));
      times.get(size).push(performance.now() - start);
    }
  }
  const [small, large] = sizes.map((size) => median(times.get(size)));
  console.log(
    `10 files: ${small.toFixed(0)} ms, 100,000 files: ${large.toFixed(0)} ms, ratio ${(large / small).toFixed(3)}`,
  );
} finally {
  rmSync(place, { recursive: true, force: true });
}

/** A base with that many files in a hundred directories, and a file of steps on it. */
function prepare(size, shell) {
  const base = writeContext(`base-${size}`, 'FROM base\nCOPY . /files/\n');
  for (let at = 0; at < size; at++) {
    if (at < 100) mkdirSync(join(base, `${at}`));
    writeFileSync(join(base, `${at % 100}`, `${at}`), '');
  }
  tsbuild('--build-context', `base=oci-layout://${shell}`, '-t', `files:${size}`, base);
  const steps = Array.from({ length: 30 }, (_, step) => `RUN true ${step}\n`);
  writeContext(`run-${size}`, `FROM files:${size}\n${steps.join('')}`);
}

function writeContext(name, dockerfile) {
  const directory = join(place, name);
  mkdirSync(directory);
  writeFileSync(join(directory, 'Dockerfile'), dockerfile);
  return directory;
}
