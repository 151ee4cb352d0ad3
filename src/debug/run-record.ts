// How a failed step's RunSpec is kept: as JSON, without its root filesystem (the snapshots have that) and without secrets.
import type { RunSpec } from '../sandbox/executor.ts';

/** A RunSpec that can be kept: a secret's bytes are never among it. */
export type RunRecord = Omit<RunSpec, 'rootfs'>;

/** The JSON of the spec. Secret mounts are left out: their bytes must not reach the disk. */
export function writeRunRecord({ rootfs: _rootfs, ...spec }: RunSpec, secretNames: readonly string[] = []): string {
  const hidden = new Set(secretNames);
  const record: RunRecord = {
    ...spec,
    mounts: spec.mounts.filter((mount) => mount.kind !== 'secret'),
    process: { ...spec.process, env: spec.process.env.filter((pair) => !hidden.has(pair.slice(0, pair.indexOf('=')))) },
  };
  return JSON.stringify(record);
}

/** What `writeRunRecord` wrote. */
export function readRunRecord(text: string): RunRecord {
  // Only this module writes it.
  return JSON.parse(text) as RunRecord;
}
