#!/usr/bin/env node
// The command's first instructions: the right Node, the compile cache, an ordinary user's namespace, and `version` answered
// before anything is loaded.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { compileCacheDirectory, useCompileCache } from './compile-cache.ts';
import { VERSION } from './version.ts';

const OLDEST_NODE = 24;
/** What is told without a namespace, and sooner so. */
const AS_ANYBODY: ReadonlySet<string> = new Set(['', '--help', '-h', 'help', '--version', 'version', 'images']);
const [command, ...rest] = process.argv.slice(2);

if ((command === 'version' || command === '--version') && rest.length === 0) {
  process.stdout.write(`tsbuild ${VERSION}\n`);
} else if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
  await startWithNewerNode();
} else {
  const uid = process.getuid?.() ?? 0;
  const hasEntered = process.env['TSBUILD_USER_NAMESPACE'] !== undefined;
  const cache = compileCacheDirectory(process.env, hasEntered ? 1 : uid);
  if (cache !== undefined) useCompileCache(cache);
  if (process.geteuid?.() !== 0 && !hasEntered && !AS_ANYBODY.has(command ?? '')) await enterNamespace();
  await import('./main.js' as string);
}

/** Where it cannot be entered the command itself says so. */
async function enterNamespace(): Promise<void> {
  const { enterNamespace: enter } = await loadEntry();
  await enter().catch(() => {});
}

async function loadEntry(): Promise<typeof import('./enter-namespace.ts')> {
  return (await import('./enter-namespace.js' as string)) as typeof import('./enter-namespace.ts');
}

/** A checkout brings a pinned Node along as a development dependency; an installed package relies on the user's. */
async function startWithNewerNode(): Promise<void> {
  const pinned = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (!existsSync(pinned)) {
    process.stderr.write(
      `error: tsbuild needs Node ${OLDEST_NODE} or newer, this is ${process.versions.node}\n` +
        `hint: install a newer Node, or run it once with: npx -p node@${OLDEST_NODE} tsbuild\n`,
    );
    process.exitCode = 2;
    return;
  }
  const { becomeNode } = await loadEntry();
  becomeNode(pinned);
}
