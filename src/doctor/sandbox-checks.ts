// The sandbox, by trying it: a whole one is made on the store's own file system, for a command that does not exist.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { EmbeddedExecutor } from '../sandbox/embedded-executor.ts';
import type { Executor, ExitStatus } from '../sandbox/executor.ts';
import { OVERLAY_VARIABLE, type OverlayTier } from '../sandbox/root-tiers.ts';
import { STORE_FIX, UNMARKED_FIX } from '../sandbox/setup-error.ts';
import { type Check, checkOf } from './check.ts';
import { readSysctl } from './machine-checks.ts';

const NAMESPACES = checkOf('namespaces');
const OVERLAY = checkOf('overlay');
const OCI_RUNTIME = checkOf('OCI runtime');
const RUNTIME_VARIABLE = 'TSBUILD_OCI_RUNTIME';
const RUNTIME_FIX = `install it or name another in ${RUNTIME_VARIABLE} (runc, crun, or a path), or unset that for the built-in sandbox`;

/** Whether namespaces can be made, and an overlay mounted inside them. */
export async function checkSandbox(storeRoot: string): Promise<readonly Check[]> {
  const dir = mkdtempSync(join(storeRoot, 'tmp', 'doctor-'));
  try {
    const { exit, tier, note } = await tryEmbedded(dir);
    const { execFailure } = exit;
    if (execFailure?.kind !== 'not-found') throw new Error(`internal error: ${JSON.stringify(execFailure)}`);
    return [
      NAMESPACES.ok('mount, pid, ipc, uts and network namespaces can be made'),
      overlayCheck(tier, note, fileSystemOf(storeRoot)),
    ];
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    return explain(error, storeRoot);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

interface Trial {
  readonly exit: ExitStatus;
  readonly tier: OverlayTier | undefined;
  /** What a build would warn of. */
  readonly note: string;
}

async function tryEmbedded(dir: string): Promise<Trial> {
  let note = '';
  const executor = new EmbeddedExecutor({
    stateDir: join(dir, 'state'),
    note: (message) => {
      note = message;
    },
  });
  const exit = await runNothing(executor, dir);
  return { exit, tier: executor.overlayTier, note };
}

/** A command that does not exist, in a sandbox on this directory; closes the executor. */
async function runNothing(executor: Executor, dir: string): Promise<ExitStatus> {
  for (const name of ['lower', 'upper', 'work']) mkdirSync(join(dir, name));
  const [lowerDirs, upperDir, workDir] = [[join(dir, 'lower')], join(dir, 'upper'), join(dir, 'work')];
  try {
    return await executor.run(
      {
        rootfs: { lowerDirs, upperDir, workDir },
        mounts: [],
        process: { args: ['/nothing'], env: [], cwd: '/' },
        network: 'none',
        hostname: 'doctor',
        extraHosts: [],
        isInsecure: false,
      },
      { signal: new AbortController().signal },
    );
  } finally {
    await executor.close();
  }
}

/** Whether an OCI runtime is there, is one, and can make a sandbox. */
export async function checkOCIRuntime(storeRoot: string, name: string): Promise<Check> {
  const dir = mkdtempSync(join(storeRoot, 'tmp', 'doctor-'));
  try {
    const [{ OCIRuntimeExecutor }, { findRuntime }] = await Promise.all([
      import('../sandbox/runtime-executor.ts'),
      import('../sandbox/runtime-check.ts'),
    ]);
    const path = findRuntime(name);
    await runNothing(new OCIRuntimeExecutor({ stateDir: join(dir, 'state'), runtime: name }), dir);
    return OCI_RUNTIME.ok(`${name === path ? name : `${name} (${path})`} runs steps, as ${RUNTIME_VARIABLE} says`);
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    return OCI_RUNTIME.blocked(error.message, RUNTIME_FIX);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function explain({ code, message, hint }: TsbuildError, storeRoot: string): readonly Check[] {
  if (code === 'TSB_SANDBOX_NAMESPACES_DENIED') return [NAMESPACES.blocked(message, namespaceFix() ?? hint ?? '')];
  const namespaces = NAMESPACES.ok('can be made');
  if (!message.includes('mount the root filesystem')) {
    return [namespaces, checkOf('sandbox').blocked(message, hint ?? 'run this machine or container privileged')];
  }
  const fact = `${message}; the store is on ${fileSystemOf(storeRoot)}`;
  return [namespaces, OVERLAY.blocked(fact, `${overlayFix()}; ${UNMARKED_FIX}`)];
}

function overlayCheck(tier: OverlayTier | undefined, note: string, fileSystem: string): Check {
  if (tier === undefined || tier === 'kernel') {
    return OVERLAY.ok(`an overlay can be mounted on the store's file system (${fileSystem})`);
  }
  const how = tier === 'fuse' ? 'steps run on fuse-overlayfs' : 'steps run in copies of their root filesystems';
  if (note === '') return OVERLAY.warning(`${how}, as ${OVERLAY_VARIABLE} says`, `leave out ${OVERLAY_VARIABLE}`);
  return OVERLAY.warning(`${note.slice(0, note.lastIndexOf(';'))}; the store is on ${fileSystem}`, overlayFix(tier));
}

/** What gives the store the kernel's overlays, and what is next to it. */
function overlayFix(tier?: OverlayTier): string {
  const isUnknown = !readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes('overlay');
  const best = isUnknown ? 'load the kernel module: as root, run modprobe overlay' : STORE_FIX;
  return tier === 'copy' ? `${best}; or, for less, install fuse-overlayfs and give this user /dev/fuse` : best;
}

function namespaceFix(): string | undefined {
  const zero = ['mnt', 'pid', 'ipc', 'uts', 'net', 'cgroup']
    .map((kind) => `user.max_${kind}_namespaces`)
    .filter((name) => readSysctl(name) === '0');
  return zero.length === 0 ? undefined : `as root, run: ${zero.map((name) => `sysctl -w ${name}=15000`).join('; ')}`;
}

/** Type of the file system of the longest mount point that is a parent. */
function fileSystemOf(path: string): string {
  let [best, type] = ['', 'unknown'];
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const mountPoint = left.split(' ')[4] ?? '';
    const isParent = path === mountPoint || path.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`);
    if (isParent && mountPoint.length >= best.length) [best, type] = [mountPoint, right.split(' ')[0] ?? 'unknown'];
  }
  return type;
}
