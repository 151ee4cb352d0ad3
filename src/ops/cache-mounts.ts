// The directories behind `RUN --mount=type=cache`: they outlive builds and are shared by processes.
//
// mounts/<key>/ holds `fs`, overlayfs's `work` for mounts that begin with the files of an input, and the `id`; private
// mounts that are in use at the same time get <key>-1, <key>-2 and so on. Who uses one holds a lock on it: a shared one,
// or an exclusive one for `locked` and `private`.
import { createHash, randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CacheSharing } from '../../solver/op.ts';
import { codeOf } from '../sys/error-code.ts';
import { type FileLock, lockFile, tryLockFile } from './file-lock.ts';

/** A mount as one step asks for it. */
export interface CacheMountRequest {
  readonly id: string;
  readonly sharing: CacheSharing;
  /** Name of the snapshot it begins with. */
  readonly inputID: string | undefined;
  /** Leaves what earlier builds have put there and begins anew. */
  readonly isFresh: boolean;
}

interface CacheMountDirectory {
  readonly upperDir: string;
  readonly workDir: string;
  release(): void;
}

/**
 * Fills a mount that is not here or empty, while nobody else may use it: all of it appears in `directory` (whose parent is
 * there) in one step, or nothing does.
 */
export type RestoreMount = (id: string, directory: string, signal: AbortSignal) => Promise<void>;

/** A mount's id as the Dockerfile has it: keys have a namespace and a slash before it. */
export function mountName(id: string): string {
  return id.replace(/^\//, '');
}

/** Beside a mount's files: its id, for who looks for it by that. */
export const MOUNT_ID_FILE = 'id';

/** One for each build: a mount that one of its steps asks for fresh is emptied once, later steps go on with it. */
export class CacheMounts {
  readonly #emptied = new Set<string>();
  readonly #mounts: string;
  readonly #locks: string;
  readonly #restore: () => RestoreMount | undefined;

  constructor(storeRoot: string, restore: () => RestoreMount | undefined = () => undefined) {
    this.#mounts = join(storeRoot, 'mounts');
    this.#locks = join(storeRoot, 'locks');
    this.#restore = restore;
  }

  /** A key by which mounts must be acquired in order, lest two steps wait for each other. */
  keyOf({ id, inputID }: Pick<CacheMountRequest, 'id' | 'inputID'>): string {
    return createHash('sha256')
      .update(`${id}\0${inputID ?? ''}`)
      .digest('hex')
      .slice(0, 32);
  }

  /** Waits until the mount may be used. The caller releases it when the step has ended. */
  async acquire(request: CacheMountRequest, signal: AbortSignal): Promise<CacheMountDirectory> {
    const key = this.keyOf(request);
    const { id, inputID, isFresh } = request;
    if (!isFresh && inputID === undefined) await this.#fill(id, key, signal);
    const { name, lock } =
      request.sharing === 'private'
        ? this.#lockPrivate(key)
        : { name: key, lock: await lockFile(this.#lockPath(key), lockMode(request.sharing), signal) };
    try {
      return this.#prepare(name, lock, request);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /**
   * The directory of a mount that begins empty, for who reads it while nobody else uses it and releases it then; `busy` when
   * somebody does, undefined when there is nothing in it.
   */
  openIdle(id: string): Pick<CacheMountDirectory, 'upperDir' | 'release'> | 'busy' | undefined {
    const key = this.keyOf({ id, inputID: undefined });
    const upperDir = join(this.#mounts, key, 'fs');
    if (isEmpty(upperDir)) return undefined;
    const lock = tryLockFile(this.#lockPath(key), 'exclusive');
    return lock === undefined ? 'busy' : { upperDir, release: () => lock.release() };
  }

  /** What somebody uses at this moment is not empty for long: it is left alone. */
  async #fill(id: string, key: string, signal: AbortSignal): Promise<void> {
    const restore = this.#restore();
    const upperDir = join(this.#mounts, key, 'fs');
    if (restore === undefined || !isEmpty(upperDir)) return;
    const lock = tryLockFile(this.#lockPath(key), 'exclusive');
    try {
      if (lock === undefined || !isEmpty(upperDir)) return;
      this.#makeBase(key);
      await restore(id, upperDir, signal);
    } finally {
      lock?.release();
    }
  }

  #lockPrivate(key: string): { name: string; lock: FileLock } {
    for (let number = 0; ; number++) {
      const name = number === 0 ? key : `${key}-${number}`;
      const lock = tryLockFile(this.#lockPath(name), 'exclusive');
      if (lock !== undefined) return { name, lock };
    }
  }

  #lockPath(name: string): string {
    return join(this.#locks, `mount-${name}`);
  }

  #prepare(name: string, lock: FileLock, { id, isFresh }: CacheMountRequest): CacheMountDirectory {
    const base = join(this.#mounts, name);
    const old = isFresh && !this.#emptied.has(name) ? this.#setAside(base) : undefined;
    if (isFresh) this.#emptied.add(name);
    const upperDir = join(base, 'fs');
    const workDir = join(base, 'work');
    this.#makeBase(name);
    if (mkdirSync(upperDir, { recursive: true }) !== undefined) chmodSync(upperDir, 0o755);
    if (mkdirSync(workDir, { recursive: true }) !== undefined) writeFileSync(join(base, MOUNT_ID_FILE), id);
    noteUse(base);
    return {
      upperDir,
      workDir,
      release: () => {
        noteUse(base);
        lock.release();
        if (old !== undefined) rmSync(old, { recursive: true, force: true });
      },
    };
  }

  /** What steps put into a mount, setuid programs and all, is for steps alone, whatever the store's own mode is. */
  #makeBase(name: string): void {
    const base = join(this.#mounts, name);
    mkdirSync(base, { recursive: true });
    chmodSync(base, 0o700);
  }

  /** Steps that use it now keep it, for it only changes its name. */
  #setAside(base: string): string | undefined {
    const old = `${base}.${randomUUID()}`;
    try {
      renameSync(base, old);
      return old;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}

/** The time of the mount's directory is that of its last use, by which it is chosen to be removed. */
function noteUse(base: string): void {
  const nowS = Date.now() / 1000;
  try {
    utimesSync(base, nowS, nowS);
  } catch (error) {
    // Another step has set it aside to begin anew.
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function isEmpty(directory: string): boolean {
  try {
    return readdirSync(directory).length === 0;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    throw error;
  }
}

function lockMode(sharing: CacheSharing): 'shared' | 'exclusive' {
  return sharing === 'locked' ? 'exclusive' : 'shared';
}
