// The mounts of a RUN: sources are opened while the host can be seen, targets are mounted after the root has changed,
// so that no link in an image leads a mount out of it.
import type { CallResult, InitProgram } from './init-program.ts';
import { attachTree, setAttributes } from './kernel-mounts.ts';
import type { MountTarget } from './mount-stubs.ts';
import { mountOverlay, openTree, type ScratchNames, scratchFile } from './rootfs-steps.ts';
import type { PlannedMount, RunPlan } from './run-plan.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { AT, FILE_TYPE, MOUNT_ATTR, MS, OPEN_TREE } from './syscalls.ts';

const READONLY_FILE = MOUNT_ATTR.rdonly | MOUNT_ATTR.nosuid | MOUNT_ATTR.nodev | MOUNT_ATTR.noexec;

/** A detached mount and the path it goes to. */
interface OpenedMount {
  readonly tree: CallResult;
  readonly target: MountTarget;
}

export interface OpenedMounts {
  readonly networkFiles: readonly { readonly tree: CallResult; readonly path: string }[];
  /** In the spec's order; a tmpfs has nothing to open. */
  readonly mounts: readonly (OpenedMount | PlannedMount)[];
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
    const tree = openSource(program, planned, host, names);
    return tree === undefined ? planned : { tree, target: planned.target };
  });
  return { networkFiles, mounts };
}

function openSource(
  program: InitProgram,
  { mount }: PlannedMount,
  host: SandboxHost,
  names: ScratchNames,
): CallResult | undefined {
  const readonly = mount.readonly === true ? MOUNT_ATTR.rdonly : 0;
  switch (mount.kind) {
    case 'tmpfs':
      return undefined;
    case 'secret': {
      const tree = scratchFile(program, names, mount.bytes, mount, host);
      setAttributes(program, tree, READONLY_FILE);
      return tree;
    }
    case 'bind': {
      const tree = openTree(program, mount.source);
      if (readonly !== 0) setAttributes(program, tree, readonly);
      return tree;
    }
    case 'overlay': {
      const root = mountOverlay(program, host, names, mount.overlay);
      const tree = openInside(program, root, mount.selector);
      if (readonly !== 0) setAttributes(program, tree, readonly);
      return tree;
    }
  }
}

const RESOLVE_NO_MAGICLINKS = 0x2;
const RESOLVE_IN_ROOT = 0x10;
const O_PATH_CLOEXEC = 0o12000000;

/** A detached mount of a path inside a mounted tree; links are followed inside it. */
function openInside(program: InitProgram, root: string, selector: string): CallResult {
  if (/^\/*$/.test(selector)) return openTree(program, root);
  const rootFd = program.call('openat', [AT.cwd, root, O_PATH_CLOEXEC]);
  const how = program.words([O_PATH_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS | RESOLVE_IN_ROOT]);
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
  for (const opened of mounts) {
    program.purpose(`mount ${opened.target.path}`);
    makeNestedTarget(program, opened.target);
    if ('tree' in opened) attachTree(program, opened.tree, opened.target.path);
    else mountTmpfs(program, opened);
  }
}

/** A target inside an earlier mount is made there; what exists or cannot be made shows when mounting. */
function makeNestedTarget(program: InitProgram, { path, type, boundary }: MountTarget): void {
  if (boundary === undefined || boundary === path) return;
  let at = boundary;
  const names = path.slice(boundary.length + 1).split('/');
  for (const [index, name] of names.entries()) {
    at = `${at}/${name}`;
    const isFile = type === 'file' && index === names.length - 1;
    if (isFile) program.call('mknodat', [AT.cwd, at, FILE_TYPE.regular | 0o644, 0], { ignore: true });
    else program.call('mkdirat', [AT.cwd, at, 0o755], { ignore: true });
  }
}

function mountTmpfs(program: InitProgram, { mount, target }: PlannedMount): void {
  if (mount.kind !== 'tmpfs') throw new Error('internal error: a mount without a source');
  const flags = MS.nosuid | (mount.readonly === true ? MS.rdonly : 0);
  const options = mount.sizeBytes === undefined ? undefined : `size=${mount.sizeBytes}`;
  program.call('mount', ['tmpfs', target.path, 'tmpfs', flags, options]);
}
