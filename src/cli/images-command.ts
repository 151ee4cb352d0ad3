// `tsbuild images`: what is in the local image store, newest first.
import { digestHex } from '../../solver/digest.ts';
import type { ListedImage } from '../image/image-store.ts';
import type { ImagesFlags } from './program.ts';
import { alignColumns, formatAge, jsonLines } from './table.ts';

const SHORT_ID = 12;

/** The listing's text, ending in a newline unless it is empty. */
export function renderImages(images: readonly ListedImage[], flags: ImagesFlags, nowMs: number): string {
  const rows = images.flatMap((image) => rowsOf(image));
  if (flags.quiet === true) return [...new Set(images.map((image) => `${image.configDigest}\n`))].join('');
  if (flags.json === true) return jsonLines(rows);
  const table = rows.map((row) => [
    row.name,
    row.tag,
    digestHex(row.id).slice(0, SHORT_ID),
    row.platform,
    formatAge(nowMs - row.createdAtMs),
    row.origin,
  ]);
  return alignColumns([['NAME', 'TAG', 'IMAGE ID', 'PLATFORM', 'CREATED', 'ORIGIN'], ...table]);
}

function rowsOf(image: ListedImage) {
  const facts = {
    id: image.configDigest,
    platform: `${image.platform.os}/${image.platform.architecture}${image.platform.variant === undefined ? '' : `/${image.platform.variant}`}`,
    createdAtMs: Math.floor(image.createdAtMs),
    origin: originText(image.isBuilt),
  };
  if (image.tags.length === 0) return [{ name: '<none>', tag: '<none>', ...facts }];
  return image.tags.map(({ reference, isBuilt }) => ({
    ...splitReference(reference),
    ...facts,
    origin: originText(isBuilt),
  }));
}

/** Docker Hub's defaults are left out, as everywhere else. */
function splitReference(reference: string): { name: string; tag: string } {
  const short = reference.replace(/^docker\.io\/(library\/)?/, '');
  const colon = short.lastIndexOf(':');
  return colon > short.lastIndexOf('/') && !short.includes('@')
    ? { name: short.slice(0, colon), tag: short.slice(colon + 1) }
    : { name: short, tag: '<none>' };
}

function originText(isBuilt: boolean): 'built' | 'pulled' {
  return isBuilt ? 'built' : 'pulled';
}
