// Runs the benchmark of ../shared/bench with this checkout's command and its own Node, so that npx's start is not timed.
//   npm run bench -- [--builders tsbuild,docker,buildah] [--workloads …] [--runs N]
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const script = join(root, '..', 'shared', 'bench', 'bench.py');
if (!existsSync(script)) {
  console.error('error: the benchmark is not here: ../shared/bench/bench.py');
  process.exit(1);
}
const command = `${process.execPath} ${join(root, 'dist', 'tsbuild.js')} build --progress=plain --network=host {nocache} -t {tag} {ctx}`;
const result = spawnSync('python3', [script, ...process.argv.slice(2)], {
  stdio: 'inherit',
  cwd: root,
  env: { BENCH_TSBUILD: command, ...process.env },
});
process.exitCode = result.status ?? 1;
