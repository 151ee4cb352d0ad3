// The note beside the empty directory of a lazy layer: which blob fills it, and where that is.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Digest } from '../../solver/digest.ts';
import type { S3Bucket } from '../s3/s3-client.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import { codeOf } from '../sys/error-code.ts';
import type { Descriptor } from './descriptor.ts';

/** Where blobs can be had later: a registry's repository, the directory of an OCI layout, or below a prefix in a bucket. */
export type LayerPlace =
  | { readonly kind: 'registry'; readonly domain: string; readonly path: string }
  | { readonly kind: 'layout'; readonly directory: string }
  | { readonly kind: 's3'; readonly bucket: S3Bucket; readonly prefix: string };

/** What fills a layer's directory. */
export interface LazyLayer {
  readonly diffID: Digest;
  readonly blob: Descriptor;
  readonly place: LayerPlace;
}

/** What is written down; it knows also what the layer stands on. */
interface LazyNote extends LazyLayer {
  readonly parent?: SnapshotName;
}

/** The place as messages name it. */
export function placeText(place: LayerPlace): string {
  if (place.kind === 'layout') return `OCI layout "${place.directory}"`;
  return place.kind === 's3' ? `s3://${place.bucket.bucket}/${place.prefix}` : `${place.domain}/${place.path}`;
}

const NOTE = 'lazy.json';

/** The path of the note for a snapshot's directory of changes. */
export function lazyNotePath(upperDir: string): string {
  return join(dirname(upperDir), NOTE);
}

/** Before the snapshot is committed: nobody else sees it yet. */
export function writeLazyNote(upperDir: string, note: LazyNote): void {
  writeFileSync(lazyNotePath(upperDir), JSON.stringify(note));
}

/** The same for one that others may see: they find the old note or the new one. */
export function replaceLazyNote(upperDir: string, note: LazyNote): void {
  const draft = `${lazyNotePath(upperDir)}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(note));
  renameSync(draft, lazyNotePath(upperDir));
}

/** Undefined for a directory whose files are here. */
export function readLazyNote(upperDir: string): LazyNote | undefined {
  const path = lazyNotePath(upperDir);
  if (!existsSync(path)) return undefined;
  try {
    // Written by writeLazyNote only.
    return JSON.parse(readFileSync(path, 'utf8')) as LazyNote;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
