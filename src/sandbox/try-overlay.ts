// A run as the tiers of root filesystems see it, and the trial of a mount without a run.
import type { RunIO, RunSpec } from './executor.ts';
import type { InitExecutable, InitOutcome } from './init-process.ts';
import { InitProgram } from './init-program.ts';
import { enterScratch, mountOverlay } from './rootfs-steps.ts';
import { runInit } from './run-init.ts';
import { startProcesses, writeEnds } from './run-program.ts';
import type { SandboxHost } from './sandbox-host.ts';
import type { StandIns } from './stand-in.ts';
import { CLONE } from './syscalls.ts';

/** What came of a program. */
export interface Attempt {
  readonly program: InitProgram;
  readonly outcome: InitOutcome;
}

/** A run that may be made again with another root filesystem, until its command has started. */
export interface TierRun {
  readonly spec: RunSpec;
  readonly io: RunIO;
  readonly host: SandboxHost;
  readonly init: InitExecutable;
  /** Makes the run with these in the place of its overlays. */
  readonly attempt: (standIns: StandIns | undefined) => Promise<Attempt>;
}

/** Mounts the root filesystem and nothing else. */
export async function tryOverlay({ spec, io, host, init }: TierRun): Promise<Attempt> {
  const program = new InitProgram(host.arch);
  const plan = { isTerminal: false, cgroups: new Map<string, string>() };
  const ends = startProcesses(program, plan, { namespaces: CLONE.newNs, fuseHost: host });
  const names = enterScratch(program, host);
  program.purpose('mount the root filesystem');
  mountOverlay(program, host, names, spec.rootfs, { hasDevices: false });
  program.call('exit_group', [0]);
  writeEnds(program, ends, plan);
  return { program, outcome: await runInit(init, program, { signal: io.signal }) };
}
