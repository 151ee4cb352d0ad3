// The mounts of a RUN: sources are opened while the host can be seen, targets are mounted after the root has changed,
// so that no link in an image leads a mount out of it.
import type { CallResult, InitProgram } from './init-program.ts';
import { attachTree, setAttributes } from './kernel-mounts.ts';
import type { MountTarget } from './mount-stubs.ts';
import { hostIDOf, type IdRange } from './step-mapping.ts';
import { mountOverlay, openTree, type ScratchNames, scratchFile } from './rootfs-steps.ts';
import type { RunPlan } from './run-plan.ts';
import type { SandboxHost } from './sandbox-host.ts';
import type { SandboxMount, TmpfsMount } from './executor.ts';
import { AT, FILE_TYPE, MOUNT_ATTR, MOVE_MOUNT, MS, OPEN, OPEN_TREE, RESOLVE } from './syscalls.ts';

const READONLY_FILE = MOUNT_ATTR.rdonly | MOUNT_ATTR.nosuid | MOUNT_ATTR.nodev | MOUNT_ATTR.noexec;

/** A detached mount and the path it goes to. */
interface OpenedMount {
  readonly tree: CallResult;
  readonly target: MountTarget;
}

interface OpenedMounts {
  readonly networkFiles: readonly { readonly tree: CallResult; readonly path: string }[];
  /** In the spec's order. */
  readonly mounts: readonly OpenedMount[];
}

/** Makes detached mounts of all sources. */
export function openMounts(program: InitProgram, plan: RunPlan, host: SandboxHost, names: ScratchNames): OpenedMounts {
  program.purpose('write /etc/hosts and /etc/resolv.conf');
  const networkFiles = [plan.resolvConf, plan.hosts].map(({ path, text }) => {
    const tree = scratchFile(program, names, Buffer.from(text), { mode: 0o644, uid: 0, gid: 0 }, host);
    setAttributes(program, tree, READONLY_FILE);
    return { tree, path };
  });
  const mounts = plan.mounts.map((planned) => {
    program.purpose(`open the source of the mount ${planned.mount.dest}`);
    const tree = openSource(program, planned.mount, host, names, plan);
    return { tree, target: planned.target };
  });
  return { networkFiles, mounts };
}

function openSource(
  program: InitProgram,
  mount: SandboxMount,
  host: SandboxHost,
  names: ScratchNames,
  { hasDevices }: Pick<RunPlan, 'hasDevices'>,
): CallResult {
  const attributes = (mount.readonly === true ? MOUNT_ATTR.rdonly : 0) | (hasDevices ? 0 : MOUNT_ATTR.nodev);
  switch (mount.kind) {
    case 'tmpfs':
      return tmpfs(program, names, mount, attributes, host);
    case 'secret': {
      const tree = scratchFile(program, names, mount.bytes, mount, host);
      setAttributes(program, tree, READONLY_FILE);
      return tree;
    }
    case 'bind': {
      const tree = openTree(program, mount.source);
      if (mount.isForeign !== true) names.mapping?.apply(program, tree);
      if (attributes !== 0) setAttributes(program, tree, attributes);
      return tree;
    }
    case 'overlay': {
      const root = mountOverlay(program, host, names, mount.overlay, { hasDevices });
      const tree = openInside(program, root, mount.selector);
      if (attributes !== 0) setAttributes(program, tree, attributes);
      return tree;
    }
  }
}

function tmpfs(
  program: InitProgram,
  names: ScratchNames,
  mount: TmpfsMount,
  readonly: number,
  host: Pick<SandboxHost, 'isSingleID'>,
): CallResult {
  const attributes = readonly | (mount.isNoexec === true ? MOUNT_ATTR.noexec : 0);
  const name = names.next();
  program.call('mkdirat', [AT.cwd, name, 0o755]);
  const options = tmpfsOptions(mount, names, host);
  program.call('mount', ['tmpfs', name, 'tmpfs', MS.nosuid, options === '' ? undefined : options]);
  const tree = openTree(program, name);
  if (attributes !== 0) setAttributes(program, tree, attributes);
  return tree;
}

/** Where there is one id, all owners are it. */
function tmpfsOptions(
  { sizeBytes, inodes, mode, uid, gid }: TmpfsMount,
  { mapping }: ScratchNames,
  { isSingleID }: Pick<SandboxHost, 'isSingleID'>,
): string {
  const idOf = (id: number | undefined, range: IdRange | undefined): number | undefined => {
    if (isSingleID) return undefined;
    return id === undefined || range === undefined ? id : hostIDOf(id, range);
  };
  const options = {
    size: sizeBytes,
    nr_inodes: inodes,
    mode: mode?.toString(8),
    uid: idOf(uid, mapping?.ids.uids),
    gid: idOf(gid, mapping?.ids.gids),
  };
  return Object.entries(options)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
    .join(',');
}

const PATH_ONLY = OPEN.path | OPEN.cloexec;

/** A detached mount of a path inside a mounted tree; links are followed inside it. */
function openInside(program: InitProgram, root: string, selector: string): CallResult {
  if (/^\/*$/.test(selector)) return openTree(program, root);
  const rootFd = program.call('openat', [AT.cwd, root, PATH_ONLY]);
  const how = program.words([PATH_ONLY, 0, RESOLVE.noMagicLinks | RESOLVE.inRoot]);
  const fd = program.call('openat2', [rootFd, selector, how, 24]);
  const flags = OPEN_TREE.clone | OPEN_TREE.cloexec | AT.recursive | AT.emptyPath;
  return program.call('open_tree', [fd, '', flags]);
}

/** Puts /etc/hosts, /etc/resolv.conf and the spec's mounts in place. */
export function attachMounts(program: InitProgram, { networkFiles, mounts }: OpenedMounts): void {
  for (const { tree, path } of networkFiles) {
    program.purpose(`mount ${path}`);
    attachTree(program, tree, path);
  }
  for (const { tree, target } of mounts) {
    program.purpose(`mount ${target.path}`);
    if (target.boundary === undefined || target.boundary === target.path) attachTree(program, tree, target.path);
    else attachInside(program, tree, target, target.boundary);
  }
}

/** Tags a path inside an earlier mount. */
export const NESTED_TAG = 'nested';

/**
 * A target inside an earlier mount, whose content nobody has looked at and another step may be changing (a cache): it is
 * walked one name at a time, made where it is missing, and no link is followed. A link to `/..` would lead to the host,
 * whose root is still mounted over this one.
 */
function attachInside(program: InitProgram, tree: CallResult, { path, type }: MountTarget, boundary: string): void {
  const how = program.words([PATH_ONLY, 0, RESOLVE.noSymlinks]);
  let at = program.call('openat', [AT.cwd, boundary, PATH_ONLY]);
  const names = path.slice(boundary.length + 1).split('/');
  for (const [index, name] of names.entries()) {
    const isFile = type === 'file' && index === names.length - 1;
    if (isFile) program.call('mknodat', [at, name, FILE_TYPE.regular | 0o644, 0], { ignore: true });
    else program.call('mkdirat', [at, name, 0o755], { ignore: true });
    at = program.call('openat2', [at, name, how, 24], { tag: NESTED_TAG });
  }
  program.call('move_mount', [tree, '', at, '', MOVE_MOUNT.fromEmptyPath | MOVE_MOUNT.toEmptyPath]);
}
