// Enters a user namespace when needed, then tells what it finds there or runs a shell command.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
  enterUserNamespace,
  needsUserNamespace,
  USER_NAMESPACE_VARIABLE,
  userNamespaceWarning,
} from '../../src/sandbox/user-namespace.ts';

try {
  if (needsUserNamespace()) await enterUserNamespace();
  const [command, ...rest] = process.argv.slice(2);
  if (command === 'shell') {
    const { [USER_NAMESPACE_VARIABLE]: _, ...env } = process.env;
    process.exitCode = spawnSync('sh', ['-c', rest.join(' ')], { stdio: 'inherit', env }).status ?? 1;
  } else {
    const map = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/);
    const setgroups = readFileSync('/proc/self/setgroups', 'utf8').trim();
    const told = { uid: process.getuid?.(), ranges: map.length / 3, setgroups, warning: userNamespaceWarning() };
    process.stdout.write(`${JSON.stringify({ ...told, pid: process.pid, args: process.argv.slice(2) })}\n`);
    if (command === 'exit') process.exitCode = Number(rest[0]);
    if (command === 'die') process.kill(process.pid, 'SIGTERM');
  }
} catch (error) {
  const { code, hint } = error as { code: string; hint: string };
  process.stdout.write(`${JSON.stringify({ code, hint })}\n`);
  process.exitCode = 1;
}
