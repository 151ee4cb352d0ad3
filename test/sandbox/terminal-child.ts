// Runs a shell in a sandbox on this process's terminal and says how it ended and whose the terminal is then.
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';

const dir = process.argv[2] ?? '';
const run = mkdtempSync(join(dir, 'terminal-'));
for (const name of ['upper', 'work']) mkdirSync(join(run, name));
const executor = new EmbeddedExecutor({ stateDir: join(dir, 'state') });
const status = await executor.run(
  {
    rootfs: { lowerDirs: [join(dir, 'base')], upperDir: join(run, 'upper'), workDir: join(run, 'work') },
    mounts: [],
    process: { args: ['/bin/sh', '-i'], env: ['PATH=/bin', 'PS1=> '], cwd: '/' },
    network: 'sandbox',
    hostname: 'debug',
    extraHosts: [],
    isInsecure: false,
  },
  { terminal: true, signal: new AbortController().signal },
);
const [, , , , group, , , foreground] = readFileSync('/proc/self/stat', 'utf8')
  .replace(/\(.*\)/, 'x')
  .split(' ');
process.stdout.write(`status ${JSON.stringify(status)} foreground ${group === foreground}\n`);
await executor.close();
