// A builder that guards these cgroups until it is killed, and tells its guard's pid.
import { startCgroupGuard } from '../../src/sandbox/cgroup-guard.ts';
import { InitExecutable } from '../../src/sandbox/init-process.ts';
import { machineArch } from '../../src/sandbox/sandbox-host.ts';
import { descendants } from './process-tree.ts';

startCgroupGuard(new InitExecutable(machineArch()), process.argv.slice(2));
process.stdout.write(`${descendants(process.pid)[0]}`);
