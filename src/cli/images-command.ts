// `tsbuild images`: what is in the local image store, newest first.
import { digestHex } from '../../solver/digest.ts';
import type { ListedImage } from '../image/image-store.ts';
import type { ImagesFlags } from './program.ts';

const SHORT_ID = 12;

/** The listing's text, ending in a newline unless it is empty. */
export function renderImages(images: readonly ListedImage[], flags: ImagesFlags, nowMs: number): string {
  const rows = images.flatMap((image) => rowsOf(image));
  if (flags.quiet === true) return lines([...new Set(images.map((image) => image.configDigest))]);
  if (flags.json === true) return lines(rows.map((row) => JSON.stringify(row)));
  const table = rows.map((row) => [
    row.name,
    row.tag,
    digestHex(row.id).slice(0, SHORT_ID),
    row.platform,
    age(nowMs - row.createdAtMs),
    row.origin,
  ]);
  return lines(alignColumns([['NAME', 'TAG', 'IMAGE ID', 'PLATFORM', 'CREATED', 'ORIGIN'], ...table]));
}

function rowsOf(image: ListedImage) {
  const facts = {
    id: image.configDigest,
    platform: `${image.platform.os}/${image.platform.architecture}${image.platform.variant === undefined ? '' : `/${image.platform.variant}`}`,
    createdAtMs: Math.floor(image.createdAtMs),
    origin: image.isBuilt ? 'built' : 'pulled',
  };
  if (image.tags.length === 0) return [{ name: '<none>', tag: '<none>', ...facts }];
  return image.tags.map(({ reference }) => ({ ...splitReference(reference), ...facts }));
}

/** Docker Hub's defaults are left out, as everywhere else. */
function splitReference(reference: string): { name: string; tag: string } {
  const short = reference.replace(/^docker\.io\/(library\/)?/, '');
  const colon = short.lastIndexOf(':');
  return colon > short.lastIndexOf('/') && !short.includes('@')
    ? { name: short.slice(0, colon), tag: short.slice(colon + 1) }
    : { name: short, tag: '<none>' };
}

function age(ms: number): string {
  const units: readonly (readonly [number, string])[] = [
    [86_400_000, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1000, 'second'],
  ];
  for (const [size, name] of units) {
    const count = Math.floor(ms / size);
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}

function lines(rows: readonly string[]): string {
  return rows.map((row) => `${row}\n`).join('');
}
