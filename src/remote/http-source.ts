// ADD of a URL: a snapshot with one file, as BuildKit makes it.
import { chmodSync, chownSync, copyFileSync, constants, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { SourceOp } from '../../solver/op.ts';
import type { RunContext } from '../../solver/op-runner.ts';
import { httpSourceDigest } from '../../solver/source-key.ts';
import type { Vertex } from '../../solver/vertex.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { RemoteSource } from '../ops/remote-sources.ts';
import type { SnapshotName, Snapshotter } from '../snapshot/snapshotter.ts';
import type { FetchedFile } from '../store/fetched-files.ts';
import { checksumMismatch, whileLoadingKey } from './errors.ts';
import type { FetchOptions, HttpFetcher } from './http-fetcher.ts';

interface HttpSourcePorts {
  readonly content: ContentStore;
  readonly snapshotter: Snapshotter;
  readonly fetcher: HttpFetcher;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

const FILE_MODE = 0o600;

/** Throws TSB_HTTP_UNREACHABLE, TSB_HTTP_STATUS, TSB_HTTP_CHECKSUM_MISMATCH. */
export class HttpSource implements RemoteSource {
  readonly #ports: HttpSourcePorts;

  constructor(ports: HttpSourcePorts) {
    this.#ports = ports;
  }

  async cacheDigest(vertex: Vertex, op: SourceOp, context: RunContext): Promise<Digest> {
    const filename = fileNameOf(op);
    const checksum = checksumOf(op);
    // What is named by its checksum need not be asked for.
    if (checksum !== undefined) return httpSourceDigest({ filename, checksum });
    try {
      const file = await this.#fetch(vertex, op, context);
      const { digest, lastModified } = file;
      return httpSourceDigest({ filename, checksum: digest, ...(lastModified !== undefined && { lastModified }) });
    } catch (error) {
      throw whileLoadingKey(error);
    }
  }

  async load(vertex: Vertex, op: SourceOp, context: RunContext): Promise<SnapshotName> {
    const checksum = checksumOf(op);
    const earlier = checksum === undefined ? undefined : this.#ports.fetcher.findEarlier(op.identifier);
    const file =
      earlier?.digest === checksum && earlier !== undefined ? earlier : await this.#fetch(vertex, op, context);
    if (checksum !== undefined && file.digest !== checksum) {
      throw checksumMismatch(new URL(op.identifier), file.digest, checksum);
    }
    return this.#commit(fileNameOf(op), file);
  }

  /** When the server says the file was changed, else the time of the newest file in it. */
  async timeOf(vertex: Vertex, op: SourceOp, context: RunContext): Promise<number | undefined> {
    const { digest, lastModified } = await this.#fetch(vertex, op, context);
    if (lastModified !== undefined) return Date.parse(lastModified);
    const { newestTimeMs } = await import('./archive-time.ts');
    return await newestTimeMs(this.#ports.content.pathOf(digest));
  }

  #fetch(vertex: Vertex, op: SourceOp, { signal, emit }: RunContext): Promise<FetchedFile> {
    const id = `downloading ${fileNameOf(op)}`;
    const report: FetchOptions['report'] = (current, total, done) =>
      emit({
        type: 'progress',
        id,
        current,
        ...(total !== undefined && { total }),
        unit: 'bytes',
        done,
        vertex: vertex.digest,
        timeMs: this.#ports.now(),
      });
    return this.#ports.fetcher.fetch(op.identifier, { signal, report });
  }

  #commit(filename: string, { digest, lastModified }: FetchedFile): SnapshotName {
    const { content, snapshotter } = this.#ports;
    const active = snapshotter.prepare(undefined);
    try {
      const path = join(active.upperDir, filename);
      copyFileSync(content.pathOf(digest), path, constants.COPYFILE_FICLONE);
      chownSync(path, 0, 0);
      chmodSync(path, FILE_MODE);
      const seconds = lastModified === undefined ? 0 : Date.parse(lastModified) / 1000;
      utimesSync(path, seconds, seconds);
      return snapshotter.commit(active);
    } catch (error) {
      snapshotter.discard(active);
      throw error;
    }
  }
}

function fileNameOf({ attrs }: SourceOp): string {
  const name = attrs['http.filename'] ?? '';
  if (name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name;
  throw new TsbuildError('TSB_HTTP_FILE_NAME', `a fetched file cannot be called ${JSON.stringify(name)}`);
}

function checksumOf({ attrs }: SourceOp): Digest | undefined {
  const checksum = attrs['http.checksum'];
  if (checksum === undefined || isDigest(checksum)) return checksum;
  throw new TsbuildError('TSB_HTTP_CHECKSUM_UNSUPPORTED', `unsupported checksum "${checksum}": only sha256 is`);
}
