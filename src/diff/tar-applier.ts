// Unpacking a tar into the upper directory of an active snapshot: an image's layer (whiteouts become overlayfs's marks) or
// an archive that ADD names (no whiteouts, below some directory, perhaps with another owner).
//
// A tar is hostile: names are taken relative to the root and must not climb, links on the way are resolved inside the
// stack (UpperWriter), and everything is created fresh, never written through what is there. A later entry replaces an
// earlier one; only a directory over a directory merges. Directory times are set at the end.
import { createHash } from 'node:crypto';
import { TsbuildError } from '../../solver/errors.ts';
import { digestFromHex } from '../../solver/digest.ts';
import type { LayerSum } from '../snapshot/snapshotter.ts';
import { UpperWriter } from '../snapshot/upper-writer.ts';
import { OPAQUE_NAME, WHITEOUT_PREFIX } from '../snapshot/whiteout-names.ts';
import { createEntry, describeFailure, type EntryContext, setEntryMetadata } from './entry-writer.ts';
import type { SnapshotDirs } from './layer-tar.ts';
import { RootedPaths } from './rooted-paths.ts';
import { type EntrySink, readTar, type TarReadEntry } from './tar-reader.ts';
import { UnpackMeter, type UnpackLimits } from './unpack-limits.ts';

interface ApplyOptions {
  /** In a user namespace: devices are left out and the stack uses `user.` xattrs. */
  readonly isRootless: boolean;
  readonly signal?: AbortSignal;
  /** Default: those of the environment. */
  readonly limits?: UnpackLimits;
}

/** The sums are of the tar as it was read, whatever was left out of it. */
export interface ApplyResult extends LayerSum {
  /** What was left out, one sentence each. */
  readonly warnings: readonly string[];
}

interface ExtractOptions extends ApplyOptions {
  /** Canonical path of the directory to unpack into; it exists. To links it is the root directory. */
  readonly path: string;
  /** Given to every entry instead of its own. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

const META_PREFIX = '.wh..wh.';

/**
 * Unpacks an uncompressed layer into a fresh upper directory; the digest is taken in the same pass. The caller discards
 * the directory after a failure. Throws TSB_LAYER_CORRUPT, TSB_LAYER_UNSAFE_PATH, TSB_LAYER_UNSUPPORTED_ENTRY,
 * TSB_LAYER_LINK_MISSING, TSB_LAYER_OWNER_UNMAPPED, TSB_LAYER_TOO_LARGE, TSB_LAYER_WRITE_FAILED, and the signal's reason.
 */
export async function applyLayer(
  tar: AsyncIterable<Uint8Array>,
  target: SnapshotDirs,
  options: ApplyOptions,
): Promise<ApplyResult> {
  const writer = new UpperWriter({ ...target, isRootless: options.isRootless });
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const unpacker = new Unpacker(writer, { ...options, path: '/' }, true);
  await readTar(
    tapped(tar, options.signal, (chunk) => {
      hash.update(chunk);
      sizeBytes += chunk.length;
      unpacker.meter.addBytes(chunk.length);
    }),
    (entry) => unpacker.add(entry),
  );
  writer.finish();
  return { diffID: digestFromHex(hash.digest('hex')), sizeBytes, warnings: unpacker.warnings };
}

/** Unpacks an uncompressed archive through a writer that the caller finishes. Returns warnings; throws as `applyLayer`. */
export async function extractArchive(
  tar: AsyncIterable<Uint8Array>,
  writer: UpperWriter,
  options: ExtractOptions,
): Promise<readonly string[]> {
  const unpacker = new Unpacker(writer, options, false);
  await readTar(
    tapped(tar, options.signal, (chunk) => unpacker.meter.addBytes(chunk.length)),
    (entry) => unpacker.add(entry),
  );
  return unpacker.warnings;
}

async function* tapped(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  tap: (chunk: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    signal?.throwIfAborted();
    tap(chunk);
    yield chunk;
  }
}

class Unpacker {
  readonly warnings: string[] = [];
  readonly meter: UnpackMeter;
  readonly #writer: UpperWriter;
  readonly #options: ExtractOptions;
  readonly #isLayer: boolean;
  readonly #context: EntryContext;
  readonly #paths: RootedPaths;
  /** Host paths that are in the upper directory only because a link of this layer points to them. */
  readonly #linkTargets = new Set<string>();

  constructor(writer: UpperWriter, options: ExtractOptions, isLayer: boolean) {
    this.#writer = writer;
    this.meter = new UnpackMeter(options.limits);
    this.#options = options;
    this.#isLayer = isLayer;
    this.#paths = new RootedPaths(writer.view, options.path);
    this.#context = { warn: (text) => this.warnings.push(text) };
  }

  add(entry: TarReadEntry): EntrySink | undefined {
    this.meter.addEntry(entry);
    const names = safeNames(entry.name);
    const last = names.at(-1);
    if (last === undefined) return undefined;
    try {
      if (this.#isLayer && last.startsWith(WHITEOUT_PREFIX)) {
        this.#hide(names.slice(0, -1), last, entry.name);
        return undefined;
      }
      if (this.#isLayer && names.some((name) => name.startsWith(META_PREFIX))) return undefined;
      return this.#create(this.#pathOf(names), { ...entry, ...this.#options.owner });
    } catch (error) {
      throw describeFailure(entry, error);
    }
  }

  /** The writer follows links from the root of the stack, which is where a layer's links start. */
  #pathOf(names: readonly string[]): string {
    return this.#options.path === '/' ? `/${names.join('/')}` : this.#paths.entry(names);
  }

  #hide(parents: readonly string[], last: string, entryName: string): void {
    const parent = this.#pathOf(parents);
    if (last === OPAQUE_NAME) {
      this.#writer.makeOpaque(parent);
      return;
    }
    if (last.startsWith(META_PREFIX)) return;
    const name = last.slice(WHITEOUT_PREFIX.length);
    if (name === '' || name === '.' || name === '..') throw unsafePath(entryName);
    const path = parents.length === 0 ? `/${name}` : `${parent}/${name}`;
    const node = this.#writer.view.lookup(path);
    if (node === undefined) return;
    // A whiteout says nothing about what its own layer has put there.
    const isOwn = node.hostPath === this.#writer.upperPath(node.path) && !this.#linkTargets.has(node.hostPath);
    if (!isOwn) this.#writer.whiteout(node.path);
    else if (node.type === 'dir') this.#writer.makeOpaque(node.path);
  }

  #create(path: string, entry: TarReadEntry): EntrySink | undefined {
    if (entry.type === 'dir') {
      this.#createDirectory(path, entry);
      return undefined;
    }
    if (entry.type === 'link') {
      this.#link(path, entry);
      return undefined;
    }
    if ((entry.type === 'char' || entry.type === 'block') && this.#options.isRootless) {
      this.warnings.push(`left out the device "${entry.name}": only root can make one`);
      return undefined;
    }
    if (entry.type === 'symlink') this.#paths.forget();
    return createEntry(this.#writer.place(path, { replaceDir: true }), entry, this.#context);
  }

  #createDirectory(path: string, entry: TarReadEntry): void {
    const { mode, uid, gid } = entry;
    // It may take the place of a link.
    if (this.#writer.view.lookup(path)?.type === 'symlink') this.#paths.forget();
    const canonical = this.#writer.ensureDir(path, { mode, uid, gid }, { replaceFile: true, followLast: false });
    setEntryMetadata(this.#writer.copyUp(canonical), entry, this.#context);
    this.#writer.setDirTime(canonical, entry.mtimeSeconds * 1000);
  }

  #link(path: string, entry: TarReadEntry): void {
    const { view } = this.#writer;
    const target = view.lookup(this.#pathOf(safeNames(entry.linkName)));
    if (target === undefined || target.type === 'dir') {
      const reason = target === undefined ? 'does not exist' : 'is a directory';
      throw new TsbuildError(
        'TSB_LAYER_LINK_MISSING',
        `cannot unpack "${entry.name}": its link target "${entry.linkName}" ${reason}`,
      );
    }
    if (view.resolveParent(path) === target.path) return;
    const isBelow = target.hostPath !== this.#writer.upperPath(target.path);
    const hostPath = this.#writer.copyUp(target.path);
    if (isBelow) this.#linkTargets.add(hostPath);
    createEntry(this.#writer.place(path, { replaceDir: true }), { ...entry, linkName: hostPath }, this.#context);
  }
}

/** Components of a name relative to the root; none for the root itself. */
function safeNames(name: string): string[] {
  const names = name.split('/').filter((part) => part !== '' && part !== '.');
  if (names.includes('..') || name.includes('\0')) throw unsafePath(name);
  return names;
}

function unsafePath(name: string): TsbuildError {
  return new TsbuildError('TSB_LAYER_UNSAFE_PATH', `refused to unpack "${name}": the name leads out of the root`);
}
