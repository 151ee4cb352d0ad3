// Root filesystems where the kernel mounts no overlays.
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CopiedRoot } from '../snapshot/copied-root.ts';
import { currentProcess, isAbandoned, temporaryPrefix } from '../store/owners.ts';
import { makeNode, SystemCallError, setXattr } from '../sys/libc.ts';
import { inTurns } from '../sys/turns.ts';
import type { OverlayMount, RunSpec } from './executor.ts';
import type { Attempt, TierRun } from './root-tiers.ts';
import type { StandIn } from './stand-in.ts';

/** What works here. */
export interface Fallback {
  readonly tier: 'fuse' | 'copy';
  /** Why it is not a better one. */
  readonly problem: string;
}

/** Undefined when there is none: the store's file system cannot hold what marks deletions. */
export async function findFallback(stateDir: string, _run: TierRun): Promise<Fallback | undefined> {
  if (!holdsMarks(stateDir)) return undefined;
  return { tier: 'copy', problem: 'not used' };
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
    for (const { root, isReadonly } of roots) if (!isReadonly) await inTurns(root.writeBack(), io.signal);
    return result;
  } finally {
    for (const { root } of roots) root.remove();
  }
}

function overlaysOf({ rootfs, mounts }: RunSpec): readonly { overlay: OverlayMount; isReadonly: boolean }[] {
  const mounted = mounts.flatMap((mount) =>
    mount.kind === 'overlay' ? [{ overlay: mount.overlay, isReadonly: mount.readonly === true }] : [],
  );
  return [{ overlay: rootfs, isReadonly: rootfs.upperDir === undefined }, ...mounted];
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

/** Whether deletions can be marked on the file system of the directory: not on an overlay, for one. */
function holdsMarks(stateDir: string): boolean {
  const place = makePlace(stateDir);
  try {
    makeNode(join(place, 'whiteout'), 'char', 0, { major: 0, minor: 0 });
    mkdirSync(join(place, 'opaque'));
    setXattr(join(place, 'opaque'), 'user.overlay.opaque', Buffer.from('y'));
    return true;
  } catch (error) {
    if (error instanceof SystemCallError) return false;
    throw error;
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}
