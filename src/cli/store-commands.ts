// `tsbuild du`, `tsbuild prune` and `tsbuild rmi`: what the store takes, and taking it back.
import { formatReference, parseReference, withDefaultTag } from '../../frontend/reference.ts';
import { isDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { listMounts, type MeasuredMount, measureMount } from '../gc/mounts.ts';
import { type PruneType, prune } from '../gc/prune.ts';
import { measureStore } from '../gc/usage.ts';
import type { ListedImage } from '../image/image-store.ts';
import { formatBytes } from '../progress/step-table.ts';
import type { Store } from '../store/open-store.ts';
import { readSize } from './flag-values.ts';
import { usageError } from './usage-error.ts';
import { alignColumns, formatAge } from './table.ts';

/** Of `tsbuild du`. */
export interface DuFlags {
  readonly verbose?: boolean;
  readonly json?: boolean;
}

const SWEEP_BUDGET_MS = 60_000;

/** The text of `tsbuild du`. */
export function renderUsage(store: Store, flags: DuFlags, nowMs: number): string {
  // What is garbage already is not told of, for it goes now.
  store.sweep(SWEEP_BUDGET_MS);
  const kinds = measureStore(store.root, store.db, nowMs);
  const total = {
    sizeBytes: sum(kinds.map(({ sizeBytes }) => sizeBytes)),
    reclaimableBytes: sum(kinds.map(({ reclaimableBytes }) => reclaimableBytes)),
  };
  const mounts = flags.verbose === true ? mountsOf(store.root) : [];
  if (flags.json === true) {
    return `${JSON.stringify({ root: store.root, kinds, total, ...(flags.verbose === true && { mounts }) })}\n`;
  }
  const rows = mounts.map(({ id = '', sizeBytes, usedAtMs }) => [
    id,
    formatBytes(sizeBytes),
    formatAge(nowMs - usedAtMs),
  ]);
  const table = alignColumns([
    ['KIND', 'COUNT', 'SIZE', 'RECLAIMABLE'],
    ...kinds.map(({ kind, count, sizeBytes, reclaimableBytes }) => [
      kind,
      String(count),
      formatBytes(sizeBytes),
      formatBytes(reclaimableBytes),
    ]),
    ['total', '', formatBytes(total.sizeBytes), formatBytes(total.reclaimableBytes)],
  ]);
  if (rows.length === 0) return table;
  return `${table}\n${alignColumns([['CACHE MOUNT', 'SIZE', 'LAST USED'], ...rows])}`;
}

/** The longest unused first, which is the order in which they go. */
function mountsOf(root: string): readonly Omit<MeasuredMount, 'name'>[] {
  return listMounts(root)
    .toSorted((a, b) => a.usedAtMs - b.usedAtMs)
    .map((mount) => measureMount(root, mount))
    .map(({ id, sizeBytes, usedAtMs }) => ({ id, sizeBytes, usedAtMs: Math.floor(usedAtMs) }));
}

/** Of `tsbuild prune`, as written: `keepStorage` and the filters are read with the command. */
export interface PruneFlags {
  readonly all?: boolean;
  readonly filter?: readonly string[];
  readonly keepStorage?: string;
  readonly json?: boolean;
}

/** Prunes and tells what it freed. Throws TSB_USAGE_PRUNE_FILTER, TSB_USAGE_SIZE. */
export async function pruneStore(
  store: Store,
  flags: PruneFlags,
  { nowMs, signal }: { nowMs: number; signal: AbortSignal },
): Promise<string> {
  const filters = (flags.filter ?? []).flatMap((text) => text.split(',')).map(readFilter);
  const types = filters.flatMap((filter) => ('type' in filter ? [filter.type] : []));
  const mountIDs = filters.flatMap((filter) => ('mountID' in filter ? [filter.mountID] : []));
  const ages = filters.flatMap((filter) => ('untilMs' in filter ? [filter.untilMs] : []));
  const outcome = await prune({
    store,
    nowMs,
    signal,
    all: flags.all === true,
    ...(types.length > 0 && { types }),
    // An id is that of a mount, and of nothing else.
    ...(mountIDs.length > 0 && { mountIDs, types: ['mount'] as const }),
    ...(ages.length === 0 ? {} : { unusedSinceMs: nowMs - Math.max(...ages) }),
    ...(flags.keepStorage === undefined ? {} : { keepBytes: readSize('--keep-storage', flags.keepStorage) }),
  });
  if (flags.json === true) return `${JSON.stringify(outcome)}\n`;
  const waiting = outcome.waiting === 0 ? '' : `; ${outcome.waiting} snapshots go when the running builds have ended`;
  return `freed ${formatBytes(outcome.freedBytes)}, ${formatBytes(outcome.leftBytes)} left${waiting}\n`;
}

const TYPES: Readonly<Record<string, PruneType>> = {
  snapshot: 'snapshot',
  regular: 'snapshot',
  mount: 'mount',
  'exec.cachemount': 'mount',
  log: 'log',
};
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

type Filter = { readonly type: PruneType } | { readonly mountID: string } | { readonly untilMs: number };

function readFilter(text: string): Filter {
  const [, key = '', value = ''] = /^([^=]*)=+(.*)$/s.exec(text) ?? [];
  if (key === 'id' && value !== '') return { mountID: value };
  const type = key === 'type' ? TYPES[value] : undefined;
  if (type !== undefined) return { type };
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)];
  if (key === 'until' && parts.length > 0 && parts.map(([part]) => part).join('') === value) {
    return { untilMs: sum(parts.map(([, count, unit]) => Number(count) * (UNITS_MS[unit ?? ''] ?? 0))) };
  }
  throw usageError(
    'PRUNE_FILTER',
    `invalid --filter "${text}"`,
    'use until=24h (not used for that long), type=snapshot, type=mount, type=log, or id=ID of a cache mount',
  );
}

/** Takes names from images, and images that have no name left; what was removed, a line each. Throws TSB_IMAGE_NOT_HERE. */
export function removeImages(store: Store, names: readonly string[]): string {
  return names.map((name) => store.db.transaction(() => removeImage(store, name))).join('');
}

function removeImage({ images }: Store, text: string): string {
  const byID = images.list().filter(({ configDigest }) => isIDOf(configDigest, text));
  const [image] = byID;
  if (image !== undefined && byID.length === 1) {
    images.remove(image.configDigest);
    return [...image.tags.map(({ reference }) => `untagged ${reference}\n`), `deleted ${image.configDigest}\n`].join(
      '',
    );
  }
  const reference = formatReference(withDefaultTag(parseReference(text)));
  const named = images.find(reference);
  if (named === undefined || !images.untag(reference)) {
    throw new TsbuildError('TSB_IMAGE_NOT_HERE', `no image "${text}" in the store`, {
      hint: 'tsbuild images lists them',
    });
  }
  return `untagged ${reference}\n${removeNameless(images.get(named.configDigest), images)}`;
}

function removeNameless(image: ListedImage | undefined, images: Store['images']): string {
  if (image === undefined || image.tags.length > 0) return '';
  images.remove(image.configDigest);
  return `deleted ${image.configDigest}\n`;
}

function isIDOf(digest: string, text: string): boolean {
  if (isDigest(text)) return digest === text;
  return /^[0-9a-f]{6,64}$/.test(text) && digest.startsWith(`sha256:${text}`);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
