// One entry of a tar made on disk: type, bytes, owner, xattrs, mode, times, in the order in which none undoes another
// (a change of owner clears setuid bits and capabilities).
import { chmodSync, closeSync, constants, fchmodSync, futimesSync, linkSync } from 'node:fs';
import { openSync, symlinkSync } from 'node:fs';
import { TsbuildError } from '../../solver/errors.ts';
import { setMtime } from '../snapshot/copy-up.ts';
import { isOverlayXattr } from '../snapshot/root-view.ts';
import { codeOf } from '../sys/error-code.ts';
import { makeNode, SystemCallError, setXattr } from '../sys/libc.ts';
import { encodeName, toFsPath } from '../sys/path-bytes.ts';
import { isOwnerRecord, setFileOwner, setOwner } from '../sys/recorded-owner.ts';
import { writeAllSync } from '../sys/write-all.ts';
import type { EntrySink, TarReadEntry } from './tar-reader.ts';

/** `warn` is told what was left out, a sentence each. */
export interface EntryContext {
  readonly warn: (text: string) => void;
}

const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Makes what is no directory at `hostPath`, where nothing is. A link's `linkName` is a host path. Returns where a file's bytes go. */
export function createEntry(hostPath: string, entry: TarReadEntry, context: EntryContext): EntrySink | undefined {
  const path = toFsPath(hostPath);
  switch (entry.type) {
    case 'file':
      return fileSink(hostPath, entry, context);
    case 'link':
      linkSync(toFsPath(entry.linkName), path);
      return undefined;
    case 'symlink':
      symlinkSync(encodeName(entry.linkName), path);
      setOwner(hostPath, entry, false);
      setXattrs(hostPath, entry, context);
      break;
    case 'char':
    case 'block':
    case 'fifo':
      makeNode(hostPath, entry.type, 0o600, entry.rdev ?? { major: 0, minor: 0 });
      setEntryMetadata(hostPath, entry, context);
      break;
    case 'dir':
      throw new Error(`internal error: a directory among the files: ${hostPath}`);
  }
  setMtime(hostPath, entry.mtimeSeconds * 1000);
  return undefined;
}

/** Owner, xattrs and mode of what is there; not the times. */
export function setEntryMetadata(hostPath: string, entry: TarReadEntry, context: EntryContext): void {
  setOwner(hostPath, entry, isPlain(entry));
  setXattrs(hostPath, entry, context);
  chmodSync(toFsPath(hostPath), entry.mode);
}

function fileSink(hostPath: string, entry: TarReadEntry, context: EntryContext): EntrySink {
  const fd = openSync(toFsPath(hostPath), CREATE_FLAGS, 0o600);
  return {
    write(bytes) {
      rethrowing(entry, () => writeAllSync(fd, bytes));
    },
    end() {
      rethrowing(entry, () => {
        try {
          setFileOwner(fd, hostPath, entry);
          setXattrs(hostPath, entry, context);
          fchmodSync(fd, entry.mode);
          if (entry.mtimeSeconds >= 0) futimesSync(fd, entry.mtimeSeconds, entry.mtimeSeconds);
          else setMtime(hostPath, entry.mtimeSeconds * 1000);
        } finally {
          closeSync(fd);
        }
      });
    },
    abandon() {
      closeSync(fd);
    },
  };
}

function rethrowing(entry: TarReadEntry, call: () => void): void {
  try {
    call();
  } catch (error) {
    throw describeFailure(entry, error);
  }
}

/** Attributes of the kernel's and of overlayfs are not an archive's to set. */
function setXattrs(hostPath: string, entry: TarReadEntry, context: EntryContext): void {
  for (const [name, value] of entry.xattrs) {
    if (name.startsWith('trusted.') || isOverlayXattr(name)) continue;
    if (isOwnerRecord(name, isPlain(entry))) continue;
    try {
      setXattr(hostPath, name, value);
    } catch (error) {
      const code = error instanceof SystemCallError ? error.code : '';
      const isTolerable = code === 'EOPNOTSUPP' || code === 'ENOTSUP' || (code === 'EPERM' && name !== CAPABILITY);
      if (!isTolerable) throw error;
      context.warn(`left out the extended attribute "${name}" of "${entry.name}": ${code}`);
    }
  }
}

function isPlain({ type }: TarReadEntry): boolean {
  return type === 'file' || type === 'dir';
}

const CAPABILITY = 'security.capability';

/** The failure to make an entry as an error the user can act on. */
export function describeFailure(entry: TarReadEntry, error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof TsbuildError || code === undefined) return error;
  if (code === 'EINVAL' && String(error).includes('chown')) {
    return new TsbuildError(
      'TSB_LAYER_OWNER_UNMAPPED',
      `cannot give "${entry.name}" to ${entry.uid}:${entry.gid}: the user namespace has no such ids`,
      { hint: 'give your user more ids in /etc/subuid and /etc/subgid', cause: error },
    );
  }
  return new TsbuildError('TSB_LAYER_WRITE_FAILED', `cannot unpack "${entry.name}": ${code}`, { cause: error });
}
