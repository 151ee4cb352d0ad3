// `-` as build context: an archive, compressed or not, or a Dockerfile alone. And `-f -`.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { decompress, peekArchive } from '../diff/archive.ts';
import { extractArchive } from '../diff/tar-applier.ts';
import type { Session } from '../session.ts';
import { UpperWriter } from '../snapshot/upper-writer.ts';

/** What standard input held. */
type StdinContext =
  | { readonly kind: 'archive'; readonly directory: string }
  /** The context is an empty directory. */
  | { readonly kind: 'dockerfile'; readonly directory: string; readonly text: string };

type StdinSession = Pick<Session, 'stdin' | 'store' | 'isRootless' | 'signal' | 'warn'>;

/**
 * Reads the build context from standard input into a directory of the store, which `removeStdinContext` removes. `dockerfile`
 * is what `-f` says. Throws TSB_CONTEXT_STDIN and what unpacking throws.
 */
export async function readStdinContext(dockerfile: string | undefined, session: StdinSession): Promise<StdinContext> {
  if (dockerfile === '-') {
    throw stdinError("invalid argument: can't use stdin for both build context and dockerfile");
  }
  const { kind, bytes } = await peekArchive(session.stdin());
  if (kind === undefined && dockerfile !== undefined) {
    throw stdinError('ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles');
  }
  const directory = makeDirectory(session.store.root);
  try {
    if (kind === undefined) return { kind: 'dockerfile', directory, text: await readText(bytes) };
    const { isRootless, signal } = session;
    const writer = new UpperWriter({ upperDir: directory, lowerDirs: [], isRootless });
    const warnings = await extractArchive(decompress(bytes), writer, { path: '/', isRootless, signal });
    for (const warning of warnings) session.warn(warning);
    writer.finish();
    return { kind: 'archive', directory };
  } catch (error) {
    removeStdinContext(directory);
    throw error;
  }
}

/** The Dockerfile that `-f -` names. */
export async function readStdinDockerfile({ stdin }: Pick<Session, 'stdin'>): Promise<string> {
  return await readText(stdin());
}

/** Removes what `readStdinContext` made. */
export function removeStdinContext(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
}

function makeDirectory(storeRoot: string): string {
  const parent = join(storeRoot, 'tmp');
  mkdirSync(parent, { recursive: true });
  return mkdtempSync(join(parent, 'context-'));
}

async function readText(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function stdinError(message: string): TsbuildError {
  return new TsbuildError('TSB_CONTEXT_STDIN', message, { exitCode: 2 });
}
