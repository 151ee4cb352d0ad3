// Root filesystems where the kernel mounts no overlays.
import { accessSync, constants, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { CopiedRoot } from '../snapshot/copied-root.ts';
import { translateMarks } from '../snapshot/fuse-marks.ts';
import { opaqueXattr } from '../snapshot/root-view.ts';
import { currentProcess, isAbandoned, temporaryPrefix } from '../store/owners.ts';
import { codeOf } from '../sys/error-code.ts';
import { errnoName, makeNode, SystemCallError, setXattr } from '../sys/libc.ts';
import { atOnce, inTurns } from '../sys/turns.ts';
import type { OverlayMount, RunSpec } from './executor.ts';
import { STORE_FIX } from './setup-error.ts';
import { FIRST_FUSE_FD, type StandIn } from './stand-in.ts';
import { type Attempt, type TierRun, tryOverlay } from './try-overlay.ts';
import { findExecutable } from './user-namespace.ts';

/** What works here. */
interface Fallback {
  readonly tier: 'fuse' | 'copy';
  /** Why it is not a better one. */
  readonly problem: string;
}

/** Undefined when there is none: the store's file system cannot hold what marks deletions. */
export async function findFallback(stateDir: string, run: TierRun): Promise<Fallback | undefined> {
  if (!holdsMarks(stateDir)) return undefined;
  const problem = await fuseProblem(run);
  return { tier: problem === '' ? 'fuse' : 'copy', problem };
}

const DEVICE = '/dev/fuse';

/** Why fuse-overlayfs does not do; nothing when it does. */
async function fuseProblem(run: TierRun): Promise<string> {
  const path = findExecutable('fuse-overlayfs');
  if (path === undefined) return 'not installed';
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch (error) {
    return `${DEVICE}: ${codeOf(error) ?? 'not there'}`;
  }
  const standIns = new Map([[run.spec.rootfs, fuseOf(path, run.spec.rootfs, 0)]]);
  const { outcome, program } = await tryOverlay({ ...run, host: { ...run.host, standIns } });
  if (outcome.kind !== 'failed') return '';
  return `${program.describe(outcome.recordAddress).call}: ${errnoName(outcome.errno)}`;
}

function fuseOf(program: string, { upperDir }: OverlayMount, number: number): StandIn {
  return { kind: 'fuse', program, fd: FIRST_FUSE_FD + 2 * number, isReadonly: upperDir === undefined };
}

/** Makes the run on fuse-overlayfs, and gives its marks in the upper directories the kernel's form. */
export async function runOnFuse(stateDir: string, { spec, host, attempt }: TierRun): Promise<Attempt> {
  const path = findExecutable('fuse-overlayfs') ?? 'fuse-overlayfs';
  const overlays = overlaysOf(spec);
  try {
    return await attempt(new Map(overlays.map(({ overlay }, index) => [overlay, fuseOf(path, overlay, index)])));
  } finally {
    // Of an aborted run, too: the directory of a cache mount stays.
    for (const { overlay, isReadonly } of overlays) {
      const { upperDir } = overlay;
      if (isReadonly || upperDir === undefined) continue;
      await withMarks(stateDir, () => atOnce(translateMarks(upperDir, host.isUserNamespace)));
    }
  }
}

/** Makes the run in copies of its overlays, and writes what it has changed into their upper directories. */
export async function runOnCopies(stateDir: string, { spec, io, host, attempt }: TierRun): Promise<Attempt> {
  removeAbandoned(stateDir);
  const roots: { readonly root: CopiedRoot; readonly isReadonly: boolean }[] = [];
  const standIns = new Map<OverlayMount, StandIn>();
  try {
    for (const { overlay, isReadonly } of overlaysOf(spec)) {
      const root = new CopiedRoot({ stack: overlay, place: makePlace(stateDir), isRootless: host.isUserNamespace });
      roots.push({ root, isReadonly });
      await inTurns(root.fill(), io.signal);
      standIns.set(overlay, { kind: 'copy', dir: root.dir, isReadonly: overlay.upperDir === undefined });
    }
    const result = await attempt(standIns);
    if (result.outcome.kind === 'killed') return result;
    for (const { root, isReadonly } of roots) {
      if (!isReadonly) await withMarks(stateDir, () => inTurns(root.writeBack(), io.signal));
    }
    return result;
  } finally {
    for (const { root } of roots) root.remove();
  }
}

/** Each once, with whether nothing is written to it. */
function overlaysOf({ rootfs, mounts }: RunSpec): readonly { overlay: OverlayMount; isReadonly: boolean }[] {
  const found = new Map([[rootfs, rootfs.upperDir === undefined]]);
  for (const mount of mounts) {
    if (mount.kind !== 'overlay') continue;
    found.set(mount.overlay, mount.readonly === true && (found.get(mount.overlay) ?? true));
  }
  return Array.from(found, ([overlay, isReadonly]) => ({ overlay, isReadonly }));
}

/** An empty directory that the next process removes should this one be killed. */
function makePlace(stateDir: string): string {
  return mkdtempSync(join(stateDir, `${temporaryPrefix(currentProcess())}root-`));
}

function removeAbandoned(stateDir: string): void {
  const self = currentProcess();
  for (const name of readdirSync(stateDir)) {
    if (isAbandoned(name, self)) rmSync(join(stateDir, name), { recursive: true, force: true });
  }
}

/** Says what is in the way when the store's file system refuses marks. */
async function withMarks(stateDir: string, write: () => Promise<void> | void): Promise<void> {
  try {
    await write();
  } catch (cause) {
    if (!(cause instanceof SystemCallError) || holdsMarks(stateDir)) throw cause;
    const message = `what the step has deleted cannot be marked on the store's file system: ${cause.message}`;
    throw new TsbuildError('TSB_SANDBOX_UNMARKED', message, { hint: STORE_FIX, cause });
  }
}

/** Whether deletions can be marked on the file system of the directory: not on an overlay, for one. */
function holdsMarks(stateDir: string): boolean {
  const place = makePlace(stateDir);
  try {
    makeNode(join(place, 'whiteout'), 'char', 0, { major: 0, minor: 0 });
    mkdirSync(join(place, 'opaque'));
    setXattr(join(place, 'opaque'), opaqueXattr(true), Buffer.from('y'));
    return true;
  } catch (error) {
    if (error instanceof SystemCallError) return false;
    throw error;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
