// One blob from the network to its place, with what a former attempt has brought already.
//
// Partial bytes live in tmp/ under `<digest>.partial`. Whoever works on them first renames the file to a name of its own,
// which only one can do; others that want the same blob at the same time begin their own copy. Work that fails gives its
// bytes back under the common name, and the work of a process that was killed is found by its name.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { digestFromHex, digestHex } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { isAbandoned, type ProcessIdentity, temporaryPrefix } from '../store/owners.ts';
import { codeOf } from '../sys/error-code.ts';
import { writeAll } from '../sys/write-all.ts';
import type { BlobExpectation } from './content-store.ts';

interface IngestOptions {
  readonly directory: string;
  readonly self: ProcessIdentity;
  readonly expected: BlobExpectation;
  readonly from: (offset: number) => Promise<AsyncIterable<Uint8Array>>;
  readonly target: string;
  readonly signal?: AbortSignal;
}

/** Throws TSB_CONTENT_DIGEST_MISMATCH (nothing is kept) and TSB_CONTENT_INCOMPLETE (what came is kept). */
export async function ingestBlob(options: IngestOptions): Promise<void> {
  const { directory, self, expected, target } = options;
  const hex = digestHex(expected.digest);
  const path = join(directory, `${temporaryPrefix(self)}${process.hrtime.bigint().toString(36)}-${hex}`);
  const isResumed = claimPartial(directory, hex, path, self);
  try {
    await fill(path, options, isResumed);
    renameSync(path, target);
  } catch (error) {
    if (isOfNoUse(error)) rmSync(path, { force: true });
    else giveBack(path, join(directory, `${hex}.partial`));
    throw error;
  }
}

/** Wrong bytes, and those that have filled the disk. */
function isOfNoUse(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'TSB_CONTENT_DIGEST_MISMATCH' || code === 'ENOSPC' || code === 'EDQUOT';
}

/** Fills the file; when a resumed one turns out wrong, its old half may be to blame, so it is fetched once more from the start. */
async function fill(path: string, options: IngestOptions, isResumed: boolean): Promise<void> {
  try {
    await append(path, options);
  } catch (error) {
    if (!isResumed || !(error instanceof TsbuildError) || error.code !== 'TSB_CONTENT_DIGEST_MISMATCH') throw error;
    rmSync(path, { force: true });
    await append(path, options);
  }
}

async function append(path: string, { expected, from, signal }: IngestOptions): Promise<void> {
  const file = await open(path, 'a+', 0o644);
  try {
    const hash = createHash('sha256');
    const offset = await hashExisting(path, hash);
    const size =
      offset < expected.size ? await copy(file, await from(offset), { hash, offset, expected, signal }) : offset;
    verify(expected, size, hash);
    await file.sync();
  } finally {
    await file.close();
  }
}

interface CopyState {
  readonly hash: Hash;
  readonly offset: number;
  readonly expected: BlobExpectation;
  readonly signal: AbortSignal | undefined;
}

async function copy(file: FileHandle, chunks: AsyncIterable<Uint8Array>, state: CopyState): Promise<number> {
  let size = state.offset;
  for await (const chunk of chunks) {
    state.signal?.throwIfAborted();
    size += chunk.length;
    // More than announced: no need to take all of it.
    if (size > state.expected.size) return size;
    state.hash.update(chunk);
    await writeAll(file, chunk);
  }
  return size;
}

async function hashExisting(path: string, hash: Hash): Promise<number> {
  const { size } = statSync(path);
  if (size > 0) for await (const chunk of createReadStream(path)) hash.update(chunk);
  return size;
}

function verify(expected: BlobExpectation, size: number, hash: Hash): void {
  if (size < expected.size) {
    throw new TsbuildError(
      'TSB_CONTENT_INCOMPLETE',
      `blob ${expected.digest} ended after ${size} of ${expected.size} bytes`,
      { hint: 'build again: what has come is kept' },
    );
  }
  const found = size > expected.size ? undefined : digestFromHex(hash.digest('hex'));
  if (found === expected.digest) return;
  throw new TsbuildError(
    'TSB_CONTENT_DIGEST_MISMATCH',
    found === undefined
      ? `blob ${expected.digest} has more than its ${expected.size} bytes`
      : `blob ${expected.digest} has digest ${found}`,
    { hint: 'the source sent other bytes than it announced' },
  );
}

function claimPartial(directory: string, hex: string, path: string, self: ProcessIdentity): boolean {
  if (tryRename(join(directory, `${hex}.partial`), path)) return true;
  return readdirSync(directory).some(
    (name) => name.endsWith(`-${hex}`) && isAbandoned(name, self) && tryRename(join(directory, name), path),
  );
}

/** Keeps the longer one when another attempt has left bytes, too. */
function giveBack(path: string, partial: string): void {
  const own = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const other = statSync(partial, { throwIfNoEntry: false })?.size ?? 0;
  if (own > other) tryRename(path, partial);
  else rmSync(path, { force: true });
}

function tryRename(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
