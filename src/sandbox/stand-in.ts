// What takes an overlay's place where the kernel mounts none: a copy of it that is bound, or fuse-overlayfs.
import type { OverlayMount } from './executor.ts';
import type { InitProgram } from './init-program.ts';
import type { ScratchNames } from './rootfs-steps.ts';
import { AT, MOUNT_ATTR, MS, OPEN } from './syscalls.ts';

/** `copy`: a directory with all of the overlay's files. `fuse`: fuse-overlayfs, spoken to through the descriptor. */
export type StandIn =
  | { readonly kind: 'copy'; readonly dir: string; readonly isReadonly: boolean }
  | { readonly kind: 'fuse'; readonly program: string; readonly fd: number; readonly isReadonly: boolean };

/** By the overlays of a run's spec; an overlay that is not in there is the kernel's. */
export type StandIns = ReadonlyMap<OverlayMount, StandIn>;

/** Tags a call that fails where overlays cannot be had; another tier may do. */
export const OVERLAY_TAG = 'overlay';

/** Tags the opening of /dev/fuse. */
export const FUSE_DEVICE_TAG = 'fuse device';

/** The first descriptor of those that lead to fuse-overlayfs: two each, the device and what tells that it is mounted. */
export const FIRST_FUSE_FD = 60;

/** Mounts it on a new directory of the scratch tmpfs, unless it is mounted already, and returns the directory's name. */
export function mountStandIn(
  program: InitProgram,
  names: ScratchNames,
  standIn: StandIn,
  { hasDevices }: { readonly hasDevices: boolean },
): string {
  const known = names.mounted.get(standIn);
  if (known !== undefined) return known;
  const mountPoint = names.next();
  names.mounted.set(standIn, mountPoint);
  program.call('mkdirat', [AT.cwd, mountPoint, 0o755]);
  if (standIn.kind === 'copy') program.call('mount', [standIn.dir, mountPoint, undefined, MS.bind]);
  else mountFuse(program, standIn.fd, mountPoint);
  const attributes = (hasDevices ? 0 : MOUNT_ATTR.nodev) | (standIn.isReadonly ? MOUNT_ATTR.rdonly : 0);
  program.call('mount_setattr', [AT.cwd, mountPoint, 0, program.words([attributes, 0, 0, 0]), 32]);
  return mountPoint;
}

function mountFuse(program: InitProgram, fd: number, mountPoint: string): void {
  const options = `fd=${fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`;
  program.call('mount', ['fuse-overlayfs', mountPoint, 'fuse', MS.nodev, options], { tag: OVERLAY_TAG });
  program.call('write', [fd + 1, program.words([1]), 8]);
  // As long as somebody else has it open the kernel waits for an answer even of a program that has ended.
  program.call('close', [fd]);
  const root = program.call('openat', [AT.cwd, mountPoint, OPEN.rdonly | OPEN.cloexec], { tag: OVERLAY_TAG });
  program.call('close', [root]);
}
