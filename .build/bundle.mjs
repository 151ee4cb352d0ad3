// Bundles the TypeScript sources into dist/: one entry for the command, one for each worker thread, and split chunks for what loads lazily.
import { chmodSync, rmSync, existsSync } from 'node:fs';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const entries = { tsbuild: 'src/launch.ts', main: 'src/main.ts', 'diff-worker': 'src/diff/diff-worker.ts' };
const present = Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(root + file)));

rmSync(`${root}dist`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: present,
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  minifySyntax: true,
  sourcemap: false,
  legalComments: 'none',
  external: ['koffi', 'react-devtools-core', './main.js'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  define: { 'process.env.NODE_ENV': '"production"', 'process.env.DEV': '"false"' },
  logLevel: 'warning',
});
if (existsSync(`${root}dist/tsbuild.js`)) chmodSync(`${root}dist/tsbuild.js`, 0o755);
