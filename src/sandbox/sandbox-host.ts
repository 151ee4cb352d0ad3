// What the sandbox must know of this machine and of its own rights; read once per executor.
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { recordsOwners } from '../sys/recorded-owner.ts';
import type { MachineArch } from './seccomp.ts';
import type { StandIns } from './stand-in.ts';

interface CgroupMount {
  /** Name of the directory under /sys/fs/cgroup. */
  readonly name: string;
  readonly source: string;
}

/** Facts of the machine, and what was prepared on it for all runs. */
export interface SandboxHost {
  readonly arch: MachineArch;
  /** Device nodes, fresh sysfs mounts and trusted attributes are then out of reach. */
  readonly isUserNamespace: boolean;
  /** A single id is mapped: what processes make of theirs is pretended, see pretence.ts. */
  readonly isSingleID: boolean;
  /** False in a user namespace that maps one id without a privileged mapper. */
  readonly canSetGroups: boolean;
  readonly lastCapability: number;
  /** Capabilities this process holds. */
  readonly permitted: bigint;
  /** Paths of the kernel's file systems to hide and to make read-only, as far as this kernel has them. */
  readonly maskedPaths: readonly { readonly path: string; readonly isDirectory: boolean }[];
  readonly readonlyPaths: readonly string[];
  /** `v2`: one unified tree. Else the controllers' own trees; none when there is no cgroup file system. */
  readonly cgroups: 'v2' | readonly CgroupMount[];
  /** Overlays are mounted without any promise that their changes reach the disk. */
  readonly isVolatile: boolean;
  /** An empty directory: the overlay is put together on a tmpfs over it, in the sandbox's own mount namespace. */
  readonly mountPoint: string;
  /** Two empty directories for overlays that lack lower layers. */
  readonly emptyDirs: readonly [string, string];
  readonly maxOpenFiles: number;
  /** What is mounted instead of overlays, for a run on a machine that mounts none. */
  readonly standIns?: StandIns;
}

const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];
const READONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** Reads the machine's facts and makes the directories under `stateDir`. Throws TSB_SANDBOX_ARCH_UNSUPPORTED. */
export function readSandboxHost(stateDir: string, isVolatile: boolean): SandboxHost {
  const status = readFileSync('/proc/self/status', 'utf8');
  const [mountPoint, emptyA, emptyB] = ['mount', 'empty-a', 'empty-b'].map((name) => {
    const dir = join(stateDir, name);
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    return dir;
  }) as [string, string, string];
  return {
    arch: machineArch(),
    isUserNamespace: isInUserNamespace(),
    isSingleID: recordsOwners(),
    canSetGroups: readText('/proc/self/setgroups')?.trim() !== 'deny',
    lastCapability: Number(readText('/proc/sys/kernel/cap_last_cap') ?? '40'),
    permitted: BigInt(`0x${status.match(/^CapPrm:\s*([0-9a-f]+)/m)?.[1] ?? '0'}`),
    maskedPaths: MASKED_PATHS.filter((path) => existsSync(path)).map((path) => ({
      path,
      isDirectory: statSync(path).isDirectory(),
    })),
    readonlyPaths: READONLY_PATHS.filter((path) => existsSync(path)),
    cgroups: readCgroups(),
    isVolatile,
    mountPoint,
    emptyDirs: [emptyA, emptyB],
    maxOpenFiles: readMaxOpenFiles(),
  };
}

/** Whether this process is in a user namespace other than the machine's first. */
export function isInUserNamespace(): boolean {
  const map = readText('/proc/self/uid_map')?.trim().split(/\s+/) ?? [];
  return map.join(' ') !== '0 0 4294967295';
}

/** This machine's type. Throws TSB_SANDBOX_ARCH_UNSUPPORTED. */
export function machineArch(): MachineArch {
  const { arch } = process;
  if (arch === 'x64' || arch === 'arm64') return arch;
  throw new TsbuildError('TSB_SANDBOX_ARCH_UNSUPPORTED', `the sandbox does not know the machine type ${arch}`, {
    hint: 'choose an OCI runtime with --oci-runtime',
  });
}

/** Own directories in the cgroup trees, as far as they are mounted. */
function readCgroups(): SandboxHost['cgroups'] {
  const own = new Map<string, string>();
  for (const line of (readText('/proc/self/cgroup') ?? '').trim().split('\n')) {
    const [, names = '', path = '/'] = line.match(/^\d+:([^:]*):(.*)$/) ?? [];
    for (const name of names.split(',')) own.set(name, path);
  }
  const mounts: CgroupMount[] = [];
  for (const line of (readText('/proc/self/mountinfo') ?? '').split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const target = left.split(' ')[4] ?? '';
    const [type, , options = ''] = right.split(' ');
    if (type === 'cgroup2' && target === '/sys/fs/cgroup') return 'v2';
    if (type !== 'cgroup') continue;
    const controller = options.split(',').find((option) => own.has(option)) ?? '';
    const source = join(target, own.get(controller) ?? '/');
    mounts.push({ name: basename(target), source: existsSync(source) ? source : target });
  }
  return mounts;
}

function readMaxOpenFiles(): number {
  const hard = (readText('/proc/self/limits') ?? '').match(/^Max open files\s+\S+\s+(\d+)/m)?.[1];
  return hard === undefined ? Number.POSITIVE_INFINITY : Number(hard);
}

/** Text of a file of /proc or /etc, or undefined when it is not there. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // Not every kernel has every one of these files.
  }
}
