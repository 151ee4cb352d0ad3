// Reads the Dockerfile and the ignore file that goes with it.
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import type { SourceFile } from '../../frontend/source-file.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { FileTree } from '../snapshot/file-tree.ts';
import { codeOf } from '../sys/error-code.ts';

const CHUNK_BYTES = 64 * 1024;
const MAX_BYTES = 16 * 1024 * 1024;

/** The text with the path it was read from, `-` for standard input. */
export interface LoadedDockerfile {
  readonly file: SourceFile;
  readonly path: string;
  readonly sizeBytes: number;
}

/** The Dockerfile: `given` is relative to `cwd` as the user wrote it; without it, `Dockerfile` or `dockerfile` in the context. Throws TSB_DOCKERFILE_UNREADABLE. */
export function loadDockerfile(context: string, given: string | undefined, cwd: string): LoadedDockerfile {
  const candidates =
    given === undefined ? [join(context, 'Dockerfile'), join(context, 'dockerfile')] : [resolve(cwd, given)];
  for (const path of candidates) {
    const bytes = readIfThere(path, given);
    if (bytes)
      return { file: { name: shownName(path, context), text: bytes.toString('utf8') }, path, sizeBytes: bytes.length };
  }
  throw unreadable(given ?? 'Dockerfile', `open ${given ?? 'Dockerfile'}: no such file or directory`);
}

/** The Dockerfile in an unpacked archive or a fetched context: no link in it leads out. Throws TSB_DOCKERFILE_UNREADABLE. */
export function loadDockerfileIn(tree: FileTree, given: string | undefined): LoadedDockerfile {
  for (const name of given === undefined ? ['Dockerfile', 'dockerfile'] : [given]) {
    const node = tree.lookup(join('/', name), { followLast: true });
    if (node?.type !== 'file') continue;
    const bytes = readFileSync(node.hostPath);
    return { file: { name, text: bytes.toString('utf8') }, path: node.hostPath, sizeBytes: bytes.length };
  }
  const fact = `open ${given ?? 'Dockerfile'}: no such file or directory`;
  throw unreadable(given ?? 'Dockerfile', fact, 'paths given with -f are relative to the build context');
}

/** The Dockerfile that came on standard input. */
export function stdinDockerfile(text: string): LoadedDockerfile {
  return { file: { name: 'Dockerfile', text }, path: '-', sizeBytes: Buffer.byteLength(text) };
}

/** Its lines are not yet read as patterns. */
export interface LoadedIgnoreFile {
  /** As messages name it. */
  readonly name: string;
  readonly text: string;
}

/** `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore` in the context. */
export function loadIgnoreFile(context: string, dockerfile: string | undefined): LoadedIgnoreFile | undefined {
  const candidates = [
    ...(dockerfile === undefined ? [] : [`${dockerfile}.dockerignore`]),
    join(context, '.dockerignore'),
  ];
  for (const path of candidates) {
    const bytes = readIfThere(path);
    if (bytes) return { name: shownName(path, context), text: bytes.toString('utf8').replace(/^\uFEFF/, '') };
  }
  return undefined;
}

/** `given` is how the user named the path. */
function readIfThere(path: string, given = basename(path)): Buffer | undefined {
  try {
    return readBounded(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'EISDIR')
      throw unreadable(path, `${given} is a directory`, 'name a file with -f, such as DIR/Dockerfile');
    if (code === 'EACCES' || code === 'EPERM') throw unreadable(path, `open ${given}: permission denied`);
    throw error;
  }
}

/** A link of a context may lead to a device that never ends. */
function readBounded(path: string): Buffer {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    const chunks: Buffer[] = [];
    for (let size = 0; ; ) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const count = readSync(fd, chunk);
      if (count === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, count));
      size += count;
      if (size > MAX_BYTES) throw unreadable(path, `${basename(path)} has more than 16 MiB`);
    }
  } finally {
    closeSync(fd);
  }
}

function unreadable(
  name: string,
  fact: string,
  hint = 'paths given with -f are relative to where you stand',
): TsbuildError {
  return new TsbuildError('TSB_DOCKERFILE_UNREADABLE', `failed to read dockerfile: ${fact}`, {
    hint: basename(name) === 'Dockerfile' ? 'name another file with -f' : hint,
  });
}

/** Relative to the context when inside it, as BuildKit shows it; else the base name. */
function shownName(path: string, context: string): string {
  const inside = relative(context, path);
  return inside.startsWith('..') ? basename(path) : inside;
}
