// How a failed step's RunSpec is kept: as JSON, without its root filesystem (the snapshots have that) and without secrets.
import { resolve } from 'node:path';
import type { SecurityOptions } from '../cli/security-flags.ts';
import type { RunSpec } from '../sandbox/executor.ts';

/** A RunSpec that can be kept: a secret's bytes are never among it. */
export interface RunRecord extends Omit<RunSpec, 'rootfs'> {
  /** What the build's flags changed of the confinement. */
  readonly security?: SecurityOptions;
}

interface RunRecordOptions {
  /** Variables that hold secrets. */
  readonly secretNames?: readonly string[];
  readonly security?: SecurityOptions | undefined;
}

/** The JSON of the spec. Secret mounts are left out: their bytes must not reach the disk. */
export function writeRunRecord(
  { rootfs: _rootfs, ...spec }: RunSpec,
  { secretNames = [], security }: RunRecordOptions = {},
): string {
  const hidden = new Set(secretNames);
  const record: RunRecord = {
    ...spec,
    mounts: spec.mounts.filter((mount) => mount.kind !== 'secret'),
    process: { ...spec.process, env: spec.process.env.filter((pair) => !hidden.has(pair.slice(0, pair.indexOf('=')))) },
    ...(security !== undefined && { security: fromAnywhere(security) }),
  };
  return JSON.stringify(record);
}

/** The next command may be given in another directory. */
function fromAnywhere(security: SecurityOptions): SecurityOptions {
  const { seccomp } = security;
  return typeof seccomp === 'object' ? { ...security, seccomp: { file: resolve(seccomp.file) } } : security;
}

/** What `writeRunRecord` wrote. */
export function readRunRecord(text: string): RunRecord {
  // Only this module writes it.
  return JSON.parse(text) as RunRecord;
}
