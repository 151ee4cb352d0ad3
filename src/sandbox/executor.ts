// The port that runs one process in a sandbox and waits for it.
//
// The caller prepares a snapshot and says what to mount; the executor makes the namespaces, mounts the stack as an
// overlay inside its own mount namespace (so nothing is ever mounted on the host), and starts the command as pid 1.
// Whatever happens, even SIGKILL to this process, no process and no mount is left.
import type { Readable, Writable } from 'node:stream';
import type { NetworkMode } from '../../solver/op.ts';
import type { WindowSize } from '../sys/pseudo-terminal.ts';
import type { MemoryKill, ResourceLimits } from './cgroup-limits.ts';
import type { SeccompProfile } from './seccomp-profile.ts';

/** Size of /dev/shm where `shmSizeBytes` is absent. */
export const DEFAULT_SHM_BYTES = 64 * 1024 * 1024;

/** A root filesystem or a mounted tree: directories newest first. Without `upperDir` it is mounted read-only. */
export interface OverlayMount {
  readonly lowerDirs: readonly string[];
  readonly upperDir?: string;
  readonly workDir?: string;
}

/** Empty, and gone with the run. */
export interface TmpfsMount {
  readonly kind: 'tmpfs';
  readonly sizeBytes?: number;
  /** Most files. */
  readonly inodes?: number;
  /** Of its root; absent: those of the directory it covers, else 1777. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** No program in it can be executed. */
  readonly isNoexec?: boolean;
}

/**
 * One mount at `dest`, an absolute path inside; links on the way are followed inside the root filesystem. Of a bind mount
 * `isPassing` says that its source is there for this run only, `isForeign` that it is not tsbuild's: its owners are users
 * of this machine.
 */
export type SandboxMount = {
  readonly dest: string;
  readonly readonly?: boolean;
} & (
  | { readonly kind: 'bind'; readonly source: string; readonly isPassing?: true; readonly isForeign?: true }
  /** `selector` is a path inside the overlay, resolved inside it. */
  | { readonly kind: 'overlay'; readonly overlay: OverlayMount; readonly selector: string }
  | TmpfsMount
  /** A file with these bytes on a tmpfs: never on disk. */
  | {
      readonly kind: 'secret';
      readonly bytes: Uint8Array;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
);

interface ProcessMeta {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  /** `name`, `uid`, `name:group`, …; looked up in the rootfs. Empty or undefined: root. */
  readonly user?: string;
}

/**
 * What to run and in what. The caller has decided all of it, so that the same can be run again, as `tsbuild debug`
 * does.
 */
export interface RunSpec {
  readonly rootfs: OverlayMount;
  readonly mounts: readonly SandboxMount[];
  readonly process: ProcessMeta;
  readonly network: NetworkMode;
  readonly hostname: string;
  readonly extraHosts: readonly { readonly host: string; readonly ip: string }[];
  /** All capabilities, no filter, nothing masked. */
  readonly isInsecure: boolean;
  readonly shmSizeBytes?: number;
  /** Nothing but mounts can be written to. The root file system needs an upper directory all the same, for mount points. */
  readonly isRootReadonly?: boolean;
  readonly limits?: ResourceLimits;
  /** Instead of Docker's profile; an insecure run has none in any case. */
  readonly seccomp?: SeccompProfile | 'unconfined';
  /** No program gains rights by its setuid bit or capabilities. */
  readonly noNewPrivileges?: boolean;
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
}

/** What connects a run to this process; the streams and `terminalFd` stay the caller's. */
export interface RunIO {
  /** Sinks for output as it comes; both must keep up or the process waits. With `terminal` they are unused. */
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** What the process reads; nothing when absent. Bytes read from it before the process ends may be lost. */
  readonly stdin?: Readable;
  /** The process gets this process's own terminal, and can type there (TIOCSTI): only for processes that are trusted. */
  readonly terminal?: boolean;
  /** Descriptor of a terminal that becomes the process's own, in a session of its own; sinks and stdin are unused. */
  readonly terminalFd?: number;
  /** A terminal that is made in the sandbox, of its own devices; `terminalFd`, sinks and stdin are unused. Not through OCI runtimes. */
  readonly newTerminal?: NewTerminal;
  readonly signal: AbortSignal;
  /** Is told, each time a process is started, how to send it a signal. */
  readonly onStarted?: (send: SendSignal) => void;
}

/** The terminal that is made for a run; a size of undefined leaves the kernel's. */
export interface NewTerminal {
  readonly size: WindowSize | undefined;
  /** Is given the side that keys are written to and output is read from, just before the process starts; and closes it. */
  readonly onMaster: (fd: number) => void;
}

/** Sends a signal to a run's command; false: there is no command yet, or none any more. */
export type SendSignal = (signal: NodeJS.Signals) => boolean;

/** How the command ended; `signal` is a name such as SIGKILL. */
export interface ExitStatus {
  /** 128 + signal when a signal ended it. */
  readonly code: number;
  readonly signal: string | undefined;
  /** The command could not be executed: `code` is 127 when it was not found, 126 otherwise, as shells have it. */
  readonly execFailure?: ExecFailure;
  /** A process of it was ended for lack of memory under `limits`. */
  readonly memoryKill?: MemoryKill;
}

/** Why a command could not be executed. */
export interface ExecFailure {
  /** `bad-format`: not a program for this machine, or a script without a `#!` line. */
  readonly kind: 'not-found' | 'permission-denied' | 'bad-format' | 'other';
  /** One sentence naming the file, such as `exec: "/nosuch": no such file or directory`. */
  readonly message: string;
  readonly hint?: string;
}

/** Runs may overlap. Whoever opens it closes it, when its runs have ended. */
export interface Executor {
  /**
   * Resolves when the process and all it started have ended. A non-zero exit is a value; what keeps the process from
   * starting throws TsbuildError (TSB_SANDBOX_…). Aborting the signal kills the process and rejects with its reason.
   */
  run(spec: RunSpec, io: RunIO): Promise<ExitStatus>;
  /** Ends helper processes kept ready. */
  close(): Promise<void>;
}
