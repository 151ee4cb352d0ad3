// ADD of a local archive: known by its content, never by its name, and unpacked over what is there.
import { closeSync } from 'node:fs';
import { openArchive, sniffArchive } from '../diff/archive.ts';
import { extractArchive } from '../diff/tar-applier.ts';
import type { FileNode } from '../snapshot/file-tree.ts';
import type { UpperWriter } from '../snapshot/upper-writer.ts';
import type { FileOwner } from '../sys/recorded-owner.ts';
import { openSource, readFully } from './source-file.ts';

interface UnpackTarget {
  readonly writer: UpperWriter;
  /** Made when it is not there; links in it are followed. */
  readonly directory: string;
  /** Given to every entry, and to directories made on the way. */
  readonly owner: FileOwner | undefined;
  readonly isRootless: boolean;
  readonly signal: AbortSignal;
  /** Told what was left out, a sentence each. */
  readonly warn?: (message: string) => void;
}

const HEAD_BYTES = 512;

/** Unpacks the file if it is a tar, compressed or not; false when it is none. Throws as `extractArchive` does. */
export async function unpackArchive(node: FileNode, target: UnpackTarget): Promise<boolean> {
  if (!mayBeArchive(node)) return false;
  const tar = await openArchive(node.hostPath);
  if (tar === undefined) return false;
  const { writer, directory, owner, isRootless, signal, warn } = target;
  const path = writer.ensureDir(directory, { mode: 0o755, ...(owner ?? { uid: 0, gid: 0 }) });
  const warnings = await extractArchive(tar, writer, { path, isRootless, signal, ...(owner && { owner }) });
  for (const warning of warnings) warn?.(warning);
  return true;
}

/** A look at the first bytes, which spares most files the rest. */
function mayBeArchive(node: FileNode): boolean {
  if (node.size === 0) return false;
  const fd = openSource(node);
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    return sniffArchive(head.subarray(0, readFully(fd, head, 0, HEAD_BYTES, 0))) !== undefined;
  } finally {
    closeSync(fd);
  }
}
