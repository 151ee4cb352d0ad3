// The steps that put a root filesystem together and make it the root.
//
// All of it happens on a tmpfs over an empty directory of the state directory, inside the sandbox's own mount
// namespace. Layers are links there with names of one to three letters: a hundred of them fit in the one page of options
// mount(2) takes, and no character in a path needs escaping.
import { basename, dirname } from 'node:path';
import { splitNs } from '../sys/libc.ts';
import type { OverlayMount } from './executor.ts';
import type { CallResult, InitProgram } from './init-program.ts';
import type { MountPlan } from './mount-stubs.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { mountStandIn, OVERLAY_TAG, type StandIn } from './stand-in.ts';
import { hostIDOf, type StepMapping } from './step-mapping.ts';
import { AT, FILE_TYPE, MNT_DETACH, MOUNT_ATTR, MOVE_MOUNT, MS, OPEN, OPEN_TREE } from './syscalls.ts';

/** Names on the scratch tmpfs; with a mapping, what is mounted there is seen from the step's user namespace. */
export class ScratchNames {
  /** Where stand-ins have been mounted. */
  readonly mounted = new Map<StandIn, string>();
  readonly mapping: StepMapping | undefined;
  #count = 0;

  constructor(mapping: StepMapping | undefined) {
    this.mapping = mapping;
  }

  next(): string {
    return (this.#count++).toString(36);
  }
}

/** Makes the scratch tmpfs and goes there. */
export function enterScratch(program: InitProgram, host: SandboxHost, mapping?: StepMapping): ScratchNames {
  program.purpose('prepare the mount namespace');
  program.call('umask', [0]);
  program.call('mount', [undefined, '/', undefined, MS.rec | MS.private]);
  program.call('mount', ['tmpfs', host.mountPoint, 'tmpfs', MS.nosuid | MS.nodev, 'mode=0700']);
  program.call('chdir', [host.mountPoint]);
  return new ScratchNames(mapping);
}

/** Mounts an overlay on a new directory of the scratch tmpfs and returns the directory's name; device nodes in it open only when asked. */
export function mountOverlay(
  program: InitProgram,
  host: SandboxHost,
  names: ScratchNames,
  overlay: OverlayMount,
  { hasDevices }: { readonly hasDevices: boolean },
): string {
  const standIn = host.standIns?.get(overlay);
  if (standIn !== undefined) return mountStandIn(program, names, standIn, { hasDevices });
  const options = overlayDirectories(program, host, names, overlay);
  if (overlay.upperDir !== undefined && host.isVolatile) options.push('volatile');
  options.push('index=off', 'metacopy=off', host.isUserNamespace ? 'userxattr' : 'redirect_dir=off');
  const mountPoint = names.next();
  program.call('mkdirat', [AT.cwd, mountPoint, 0o755]);
  program.call('mount', ['overlay', mountPoint, 'overlay', hasDevices ? 0 : MS.nodev, options.join(',')], {
    tag: OVERLAY_TAG,
  });
  return mountPoint;
}

/** Makes links to an overlay's directories and returns the options that name them. */
export function overlayDirectories(
  program: InitProgram,
  host: SandboxHost,
  names: ScratchNames,
  overlay: OverlayMount,
): string[] {
  const link = (target: string): string => {
    const name = names.next();
    program.call('symlinkat', [target, AT.cwd, name]);
    return name;
  };
  const mapped = (directory: string): string => mapDirectory(program, names, directory);
  const lower = lowerDirs(overlay, host).map(names.mapping === undefined ? link : mapped);
  const options = [`lowerdir=${lower.join(':')}`];
  if (overlay.upperDir !== undefined) {
    if (overlay.workDir === undefined) throw new Error('internal error: an overlay with upperDir but no workDir');
    const [upper, work] =
      names.mapping === undefined
        ? [overlay.upperDir, overlay.workDir]
        : mapUpper(overlay.upperDir, overlay.workDir, mapped);
    options.push(`upperdir=${link(upper)}`, `workdir=${link(work)}`);
  }
  return options;
}

/** Mounts a directory on a new one, with the ids of the step's user namespace; returns that one's name. */
function mapDirectory(program: InitProgram, names: ScratchNames, directory: string): string {
  const name = names.next();
  program.call('mkdirat', [AT.cwd, name, 0o755]);
  const tree = program.call('open_tree', [AT.cwd, directory, OPEN_TREE.clone | OPEN_TREE.cloexec]);
  names.mapping?.apply(program, tree);
  program.call('move_mount', [tree, '', AT.cwd, name, MOVE_MOUNT.fromEmptyPath]);
  program.call('close', [tree]);
  return name;
}

/** Overlayfs wants both on one mount. */
function mapUpper(upperDir: string, workDir: string, mapped: (directory: string) => string): [string, string] {
  const parent = dirname(upperDir);
  if (parent !== dirname(workDir)) throw new Error('internal error: an upper directory and its work directory apart');
  const name = mapped(parent);
  return [`${name}/${basename(upperDir)}`, `${name}/${basename(workDir)}`];
}

/** Overlayfs wants a lower directory, and two of them when there is no upper one. */
function lowerDirs(overlay: OverlayMount, host: SandboxHost): readonly string[] {
  const wanted = overlay.upperDir === undefined ? 2 : 1;
  const missing = Math.max(0, wanted - overlay.lowerDirs.length);
  return [...overlay.lowerDirs, ...host.emptyDirs.slice(0, missing)];
}

/** Writes a file on the scratch tmpfs and returns a detached mount of it. */
export function scratchFile(
  program: InitProgram,
  names: ScratchNames,
  bytes: Uint8Array,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
  host: Pick<SandboxHost, 'isSingleID'>,
): CallResult {
  const name = names.next();
  const fd = program.call('openat', [AT.cwd, name, OPEN.creat | OPEN.excl | OPEN.wronly | OPEN.cloexec, 0o600]);
  if (bytes.length > 0) program.call('write', [fd, bytes, bytes.length]);
  const ids = names.mapping?.ids;
  const [owner, group] = ids === undefined ? [uid, gid] : [hostIDOf(uid, ids.uids), hostIDOf(gid, ids.gids)];
  if (uid !== 0 || gid !== 0) {
    program.call('fchown', [fd, owner, group], host.isSingleID ? { ignore: true } : { tag: 'ids' });
  }
  program.call('fchmod', [fd, mode]);
  program.call('close', [fd]);
  return openTree(program, name);
}

/** A detached copy of the mounts at a path, relative ones being on the scratch tmpfs. */
export function openTree(program: InitProgram, path: string): CallResult {
  return program.call('open_tree', [AT.cwd, path, OPEN_TREE.clone | OPEN_TREE.cloexec | AT.recursive]);
}

/** Makes a mounted directory of the scratch tmpfs the root; returns the old root, still mounted over the new one. */
export function pivotInto(program: InitProgram, mountPoint: string): CallResult {
  program.purpose('enter the root filesystem');
  const oldRoot = program.call('openat', [AT.cwd, '/', OPEN.path | OPEN.cloexec]);
  program.call('chdir', [mountPoint]);
  program.call('pivot_root', ['.', '.']);
  program.call('chdir', ['/']);
  return oldRoot;
}

/** Lets go of the host's file systems. */
export function detachOldRoot(program: InitProgram, oldRoot: CallResult): void {
  program.purpose("leave the host's file systems");
  program.call('fchdir', [oldRoot]);
  program.call('umount2', ['.', MNT_DETACH]);
  program.call('chdir', ['/']);
}

/** Has nobody write to the root file system any more; what is mounted in it stays as it is. */
export function protectRoot(program: InitProgram): void {
  program.purpose('make the root filesystem read-only');
  program.call('mount_setattr', [AT.cwd, '/', 0, program.words([MOUNT_ATTR.rdonly, 0, 0, 0]), 32]);
}

/** Makes the planned mount points and sets their parents' times back. */
export function makeStubs(program: InitProgram, { stubs, parents }: Pick<MountPlan, 'stubs' | 'parents'>): void {
  for (const { path, type } of stubs) {
    program.purpose(`make the mount point ${path}`);
    if (type === 'dir') program.call('mkdirat', [AT.cwd, path, 0o755]);
    else program.call('mknodat', [AT.cwd, path, FILE_TYPE.regular | 0o644, 0]);
  }
  for (const { path, atimeNs, mtimeNs } of parents) {
    const times = program.words([...splitNs(atimeNs), ...splitNs(mtimeNs)]);
    program.call('utimensat', [AT.cwd, path, times, 0], { ignore: true });
  }
}
