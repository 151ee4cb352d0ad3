// Bundles the TypeScript sources into dist/: the command, its launcher, an ordinary user's way in, the threads and the terminal view, one file each.
import { chmodSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

/**
 * Takes Node's own modules through process.getBuiltinModule: an `import` of one makes Node read every export of it, which
 * for node:http alone loads its whole fetch (15 ms that a cached build does not have).
 */
const plainBuiltins = {
  name: 'plain-builtins',
  setup(bundler) {
    bundler.onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin', sideEffects: false } : { path, external: true },
    );
    bundler.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: builtinModule(path),
      loader: 'js',
    }));
  },
};

function builtinModule(name) {
  const names = name === 'node:sqlite' ? ['DatabaseSync', 'StatementSync', 'constants', 'backup'] : namesOf(name);
  return [
    `const builtin = /* @__PURE__ */ process.getBuiltinModule(${JSON.stringify(name)});`,
    'const pick = (key) => builtin[key];',
    'export default builtin;',
    ...names.map((key) => `export const ${key} = /* @__PURE__ */ pick(${JSON.stringify(key)});`),
  ].join('\n');
}

function namesOf(name) {
  return Object.keys(Object.getOwnPropertyDescriptors(require(name))).filter(
    (key) => /^[A-Za-z_$][\w$]*$/.test(key) && key !== 'default',
  );
}

/** Runs dockerfile-ast only when an error wants a word found: evaluating it costs what a cached build does not have. */
const lazyDockerfileAst = {
  name: 'lazy-dockerfile-ast',
  setup(bundler) {
    bundler.onResolve({ filter: /^dockerfile-ast$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'lazy' } : undefined,
    );
    bundler.onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({
      contents: `export const DockerfileParser = { parse: (text) => require(${JSON.stringify(path)}).DockerfileParser.parse(text) };`,
      resolveDir: root,
      loader: 'js',
    }));
  },
};

/** The terminal view is a bundle of its own: nothing else needs ink, and nothing of it is shared. */
const apartTerminalView = {
  name: 'apart-terminal-view',
  setup(bundler) {
    bundler.onResolve({ filter: /\/tty-printer\.tsx$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './tty-printer.js', external: true } : undefined,
    );
  },
};

/** Ink's debugger connection, which it loads only when its package is installed: it never is here. */
const noDevtools = {
  name: 'no-devtools',
  setup(bundler) {
    bundler.onResolve({ filter: /^\.\/devtools\.js$/ }, () => ({ path: 'devtools', namespace: 'empty' }));
    bundler.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: '' }));
  },
};

const entries = {
  tsbuild: 'src/launch.ts',
  main: 'src/main.ts',
  'enter-namespace': 'src/enter-namespace.ts',
  'diff-worker': 'src/diff/diff-worker.ts',
  'pretence-worker': 'src/sandbox/pretence-worker.ts',
  'tty-printer': 'src/progress/tty/tty-printer.tsx',
};

rmSync(`${root}dist`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: entries,
  outdir: 'dist',
  bundle: true,
  // One file each: every further module costs the loader about half a millisecond. What is imported dynamically is still run only when used.
  splitting: false,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  minifySyntax: true,
  minifyWhitespace: false,
  sourcemap: false,
  legalComments: 'none',
  plugins: [plainBuiltins, lazyDockerfileAst, apartTerminalView, noDevtools],
  external: ['koffi', './main.js', './enter-namespace.js'],
  banner: {
    js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);",
  },
  define: { 'process.env.NODE_ENV': '"production"', 'process.env.DEV': '"false"' },
  logLevel: 'warning',
});
chmodSync(`${root}dist/tsbuild.js`, 0o755);
