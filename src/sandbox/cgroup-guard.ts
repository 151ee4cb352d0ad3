// Removes a step's cgroups when the builder is killed before it could: a process of its own, in a session of its own,
// that lives as long as they do. It waits for the builder's end of its lifeline to be closed, which the kernel does
// whatever ends the builder.
import { closeSync, openSync } from 'node:fs';
import type { InitExecutable, InitProcess } from './init-process.ts';
import { InitProgram } from './init-program.ts';
import { FIRST_FREE_FD, LIFELINE_FD } from './run-program.ts';
import { machineArch } from './sandbox-host.ts';
import { AT, MAX_FD, OPEN, PRCTL } from './syscalls.ts';

const RETRY_NS = 10_000_000;
/** A process that the kernel does not let go of within a minute may hold its cgroup for ever. */
const RETRIES = 6000;

/** A guard at work. */
export interface CgroupGuard {
  /** Ends it without harm to the cgroups. */
  release(): Promise<void>;
}

/** Starts a guard for directories, which need not be there yet. The caller releases it once they are gone. */
export function startCgroupGuard(init: InitExecutable, dirs: readonly string[]): CgroupGuard {
  const nothing = openSync('/dev/null', 'r+');
  let process: InitProcess;
  try {
    process = init.start(guardProgram(dirs), [nothing, nothing, nothing]);
  } finally {
    closeSync(nothing);
  }
  return {
    async release() {
      process.kill();
      await process.wait();
    },
  };
}

function guardProgram(dirs: readonly string[]): InitProgram {
  const program = new InitProgram(machineArch());
  program.purpose('guard the cgroups of a step');
  program.call('prctl', [PRCTL.setName, 'tsbuild-guard'], { ignore: true });
  // What ends the builder's session, such as a second Ctrl-C, must not end the guard.
  program.call('setsid', [], { ignore: true });
  program.call('chdir', ['/'], { ignore: true });
  program.call('close_range', [FIRST_FREE_FD, MAX_FD, 0]);
  program.call('ppoll', [program.words([LIFELINE_FD]), 1, undefined, undefined, 8]);
  // A pipe counts the retries: each takes a byte.
  program.call('pipe2', [program.words([0]), OPEN.cloexec]);
  program.call('write', [FIRST_FREE_FD + 1, new Uint8Array(RETRIES), RETRIES]);
  program.call('close', [FIRST_FREE_FD + 1]);
  for (const dir of dirs) removeWhenEmpty(program, dir);
  program.call('exit_group', [0]);
  return program;
}

/** Its processes are killed by the same end of the builder, and take a moment. */
function removeWhenEmpty(program: InitProgram, dir: string): void {
  const [again, isThere, next] = [program.label(), program.label(), program.label()];
  program.place(again);
  program.call('unlinkat', [AT.cwd, dir, AT.removeDir], { onError: isThere });
  program.jump(next);
  program.place(isThere);
  program.call('faccessat', [AT.cwd, dir, 0], { onError: next });
  program.call('nanosleep', [program.words([0, RETRY_NS]), undefined], { ignore: true });
  program.call('read', [FIRST_FREE_FD, program.words([0]), 1], { onPositive: again });
  program.place(next);
}
