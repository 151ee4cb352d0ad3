// Where an archive goes: a file that appears under its name only when it is whole, a pipe or device, or stdout.
import { accessSync, constants, existsSync, lstatSync, renameSync, rmSync, type Stats, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { TsbuildError } from '../../solver/errors.ts';
import { codeOf } from '../sys/error-code.ts';
import { writeAll } from '../sys/write-all.ts';

interface WriteDestinationOptions {
  readonly stdout: Writable & { readonly isTTY?: boolean | undefined };
  readonly signal?: AbortSignal;
}

/** Throws TSB_OUTPUT_DEST_INVALID or TSB_OUTPUT_WRITE_FAILED before the first byte is made, when `dest` cannot be an archive. */
export function checkArchiveDest(dest: string, stdout: { readonly isTTY?: boolean | undefined }): void {
  if (dest === '-') {
    if (stdout.isTTY !== true) return;
    throw destError(dest, 'refusing to write an archive to the terminal', 'send it to a file or a pipe');
  }
  checkFileDest(dest, 'give a file name, or tar=false for a directory');
}

/** Throws TSB_OUTPUT_DEST_INVALID or TSB_OUTPUT_WRITE_FAILED when no file can be written there. */
export function checkFileDest(dest: string, hint = 'give a file name'): void {
  const stats = statOf(dest, dest);
  if (stats?.isDirectory() === true) throw destError(dest, `"${dest}" is a directory`, hint);
  const parent = dirname(dest);
  if (statOf(dest, parent)?.isDirectory() !== true) {
    throw destError(dest, `the directory "${parent}" does not exist`, 'make it first');
  }
  // A file is replaced by one made beside it, a device is opened.
  checkWritable(dest, stats === undefined || stats.isFile() ? parent : dest);
}

/** Throws TSB_OUTPUT_DEST_INVALID or TSB_OUTPUT_WRITE_FAILED when no directory can be made or filled there. */
export function checkDirectoryDest(dest: string, hint: string): void {
  if (statOf(dest, dest)?.isDirectory() === false) throw destError(dest, `"${dest}" is not a directory`, hint);
  let nearest = dest;
  while (statOf(dest, nearest) === undefined && nearest !== dirname(nearest)) nearest = dirname(nearest);
  checkWritable(dest, nearest);
}

function statOf(dest: string, path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw writeError(dest, error);
  }
}

function checkWritable(dest: string, path: string): void {
  try {
    accessSync(path, constants.W_OK);
  } catch (error) {
    throw writeError(dest, error);
  }
}

/**
 * Writes the chunks to `dest`: all of them, or nothing is left there. A chunk may be reused by its source once the next
 * is asked for. Throws TSB_OUTPUT_DEST_INVALID, TSB_OUTPUT_WRITE_FAILED.
 */
export async function writeDestination(
  dest: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { stdout, signal }: WriteDestinationOptions,
): Promise<void> {
  checkArchiveDest(dest, stdout);
  if (dest === '-') {
    await writeStream(stdout, chunks, signal);
    return;
  }
  const existing = statSync(dest, { throwIfNoEntry: false });
  const isSpecial = existing !== undefined && !existing.isFile();
  // A device or pipe is written to; a file is replaced, and a link to a file stays a link's business: it is replaced, too.
  const path = isSpecial ? dest : `${dest}.${process.pid}-${process.hrtime.bigint().toString(36)}.partial`;
  try {
    await writeFile(path, isSpecial ? 'w' : 'wx', chunks, signal);
    if (!isSpecial) renameSync(path, dest);
  } catch (error) {
    if (!isSpecial) rmSync(path, { force: true });
    throw writeError(dest, error);
  }
}

async function writeFile(
  path: string,
  flags: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = await open(path, flags, 0o644);
  try {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      await writeAll(file, chunk);
    }
  } finally {
    await file.close();
  }
}

async function writeStream(
  stream: Writable,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  // A failed write is told to its callback; the event beside it must not end the process.
  const ignore = (): void => {};
  stream.on('error', ignore);
  try {
    for await (const chunk of chunks) {
      signal?.throwIfAborted();
      // A stream may keep what it was given, a source may fill its buffer again.
      const copy = Buffer.from(chunk);
      await new Promise<void>((resolve, reject) => {
        stream.write(copy, (error) => (error ? reject(writeError('-', error)) : resolve()));
      });
    }
  } finally {
    stream.off('error', ignore);
  }
}

/** The failure to write an output, with its path; other errors as they are. */
export function writeError(dest: string, error: unknown): unknown {
  const code = error instanceof TsbuildError ? undefined : codeOf(error);
  const reason = code === undefined ? undefined : reasonOf(code, dest);
  if (reason === undefined) return error;
  const place = dest === '-' ? 'stdout' : `"${dest}"`;
  return new TsbuildError('TSB_OUTPUT_WRITE_FAILED', `cannot write ${place}: ${reason}`, { cause: error });
}

function reasonOf(code: string, dest: string): string | undefined {
  // Such as /proc: the directory is there, and nothing can be made in it.
  if (code === 'ENOENT' && existsSync(dirname(dest))) return 'its file system takes no new files';
  return REASONS[code];
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  ENOENT: 'a directory of its path does not exist and cannot be made',
  EISDIR: 'it is a directory',
  ENAMETOOLONG: 'a name in its path is too long',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EPIPE: 'the reader has closed the pipe',
  EFBIG: 'the file is too large for the file system',
  ENOTDIR: 'a part of its path is a file',
};

/** An output's destination that cannot be one: exit code 2. */
export function destError(dest: string, reason: string, hint: string): TsbuildError {
  return new TsbuildError('TSB_OUTPUT_DEST_INVALID', `invalid output destination "${dest}": ${reason}`, {
    hint,
    exitCode: 2,
  });
}

/** True when the path itself is there. */
export function isPresent(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
