#!/usr/bin/env node
// The command's first instructions: the right Node, the compile cache, and `version` answered before anything is loaded.
import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';
import { VERSION } from './version.ts';

const OLDEST_NODE = 24;
const [command, ...rest] = process.argv.slice(2);

if ((command === 'version' || command === '--version') && rest.length === 0) {
  process.stdout.write(`tsbuild ${VERSION}\n`);
} else if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
  startWithNewerNode();
} else {
  enableCompileCache?.();
  await import('./main.js' as string);
}

/** A checkout brings a pinned Node along as a development dependency; an installed package relies on the user's. */
function startWithNewerNode(): void {
  const pinned = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (!existsSync(pinned)) {
    process.stderr.write(
      `error: tsbuild needs Node ${OLDEST_NODE} or newer, this is ${process.versions.node}\n` +
        `hint: install a newer Node, or run it once with: npx -p node@${OLDEST_NODE} tsbuild\n`,
    );
    process.exitCode = 2;
    return;
  }
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const result = spawnSync(pinned, process.argv.slice(1), { stdio: 'inherit' });
  if (result.signal) process.kill(process.pid, result.signal);
  process.exitCode = result.status ?? 1;
}
