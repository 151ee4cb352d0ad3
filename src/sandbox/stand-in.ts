// What takes an overlay's place where the kernel mounts none: a copy of it that is bound, or fuse-overlayfs, which runs
// beside the command's pid namespace, in the keeper's, and ends with it.
import type { OverlayMount } from './executor.ts';
import type { InitProgram } from './init-program.ts';
import type { ScratchNames } from './rootfs-steps.ts';
import { AT, MOUNT_ATTR, MS } from './syscalls.ts';

/** `copy`: a directory with all of the overlay's files. */
export type StandIn = { readonly kind: 'copy'; readonly dir: string; readonly isReadonly: boolean };

/** By the overlays of a run's spec; an overlay that is not in there is the kernel's. */
export type StandIns = ReadonlyMap<OverlayMount, StandIn>;

/** Tags a call that fails where overlays cannot be had; another tier may do. */
export const OVERLAY_TAG = 'overlay';

/** Mounts it on a new directory of the scratch tmpfs and returns the directory's name. */
export function mountStandIn(
  program: InitProgram,
  names: ScratchNames,
  standIn: StandIn,
  { hasDevices }: { readonly hasDevices: boolean },
): string {
  const mountPoint = names.next();
  program.call('mkdirat', [AT.cwd, mountPoint, 0o755]);
  program.call('mount', [standIn.dir, mountPoint, undefined, MS.bind]);
  const attributes = (hasDevices ? 0 : MOUNT_ATTR.nodev) | (standIn.isReadonly ? MOUNT_ATTR.rdonly : 0);
  program.call('mount_setattr', [AT.cwd, mountPoint, 0, program.words([attributes, 0, 0, 0]), 32]);
  return mountPoint;
}
