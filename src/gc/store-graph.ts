// Who needs which snapshot, as one picture in memory: roots (images, actives, cache results) and what lies under them.
//
// A snapshot is needed by those that stand on it, by a directory whose changes were made on it, and by roots. Letting go
// of a root frees what nothing else needs; how much that is can be asked before anything is deleted.
import type { MetaDatabase } from '../store/meta-database.ts';
import { numberColumn, optionalNumberColumn, textColumn } from '../store/meta-database.ts';

/** Something that may be given up: a cache result with all its records, or an image without a name that matters. */
export interface Holding {
  readonly kind: 'result' | 'image' | 'copy';
  /** Snapshot name, or config digest. */
  readonly name: string;
  readonly usedAtMs: number;
  readonly snapshots: readonly number[];
}

interface SnapshotNode {
  readonly directory: number;
  readonly parent: number | undefined;
  users: number;
}

interface DirectoryNode {
  readonly base: number | undefined;
  readonly bytes: number;
  users: number;
}

/** What counts as a holding, which may go, instead of a root, which may not. */
export interface GraphOptions {
  /** Pulled images that no named one is built on are holdings, too. */
  readonly withPulled: boolean;
}

/** A picture of one moment: read it and act on it in one transaction. */
export class StoreGraph {
  /** What may be given up. */
  readonly holdings: readonly Holding[];
  readonly #snapshots = new Map<number, SnapshotNode>();
  readonly #directories = new Map<number, DirectoryNode>();
  /** Snapshots that roots need: giving up a holding of theirs frees nothing. */
  readonly #pinned: ReadonlySet<number>;
  readonly #above = new Map<number, number[]>();
  readonly #holdingsOf = new Map<number, Holding[]>();

  constructor(db: MetaDatabase, options: GraphOptions) {
    for (const row of db.all(
      'SELECT id, base, coalesce(disk_bytes, size_bytes) AS bytes FROM directories WHERE is_garbage = 0',
    )) {
      const bytes = optionalNumberColumn(row, 'bytes') ?? 0;
      this.#directories.set(numberColumn(row, 'id'), { base: optionalNumberColumn(row, 'base'), bytes, users: 0 });
    }
    for (const row of db.all('SELECT id, directory, parent FROM snapshots')) {
      const node = { directory: numberColumn(row, 'directory'), parent: optionalNumberColumn(row, 'parent'), users: 0 };
      this.#snapshots.set(numberColumn(row, 'id'), node);
    }
    for (const row of db.all('SELECT parent FROM actives WHERE parent IS NOT NULL'))
      this.#use(numberColumn(row, 'parent'));
    for (const row of db.all(
      'SELECT parent_snapshot FROM steps WHERE active_key IS NOT NULL AND parent_snapshot IS NOT NULL',
    ))
      this.#use(rowID(textColumn(row, 'parent_snapshot')));
    const images = this.#images(db, options);
    this.#pinned = new Set([...this.#snapshots].flatMap(([id, { users }]) => (users > 0 ? [id] : [])));
    this.holdings = [...images, ...resultsOf(db), ...copiesOf(db)];
    for (const [id, { parent }] of this.#snapshots) if (parent !== undefined) append(this.#above, parent, id);
    for (const holding of this.holdings) {
      for (const id of holding.snapshots) {
        this.#use(id);
        append(this.#holdingsOf, id, holding);
      }
    }
  }

  /** True when giving it up frees nothing, because a named image, an active or a kept failure needs the same. */
  isPinned({ snapshots }: Holding): boolean {
    return snapshots.every((id) => this.#pinned.has(id));
  }

  /** Bytes of the holding's own topmost layer. */
  sizeOf({ snapshots }: Holding): number {
    const top = this.#snapshots.get(Math.max(0, ...snapshots));
    return top === undefined ? 0 : (this.#directories.get(top.directory)?.bytes ?? 0);
  }

  /** The holding and those that stand on it, topmost first: only together they free the layer below. */
  withThoseAbove(holding: Holding): readonly Holding[] {
    const found = new Set<Holding>([holding]);
    const pending = [...holding.snapshots.slice(-1)];
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      for (const other of this.#holdingsOf.get(id) ?? []) found.add(other);
      pending.push(...(this.#above.get(id) ?? []));
    }
    return [...found].sort((a, b) => Math.max(0, ...b.snapshots) - Math.max(0, ...a.snapshots));
  }

  /** Gives the holding up; the bytes that nothing needs any more. */
  release({ snapshots }: Holding): number {
    return snapshots.reduce((sum, id) => sum + this.#drop(id), 0);
  }

  /** Ids of the snapshots that nothing needs. */
  unneeded(): readonly number[] {
    return [...this.#snapshots].flatMap(([id, { users }]) => (users === 0 ? [id] : []));
  }

  /** Bytes of the directories that nothing needs. */
  unneededBytes(): number {
    return [...this.#directories.values()].reduce((sum, { users, bytes }) => (users === 0 ? sum + bytes : sum), 0);
  }

  /** Named images hold what they need for good; the others are holdings. */
  #images(db: MetaDatabase, { withPulled }: GraphOptions): readonly Holding[] {
    const rows = db.all(
      `SELECT config_digest, layers, created_at_ms, is_built,
         (SELECT max(tagged_at_ms) FROM tags WHERE tags.config_digest = images.config_digest) AS tagged FROM images`,
    );
    return rows.flatMap((row): readonly Holding[] => {
      const snapshots = layerSnapshots(textColumn(row, 'layers'));
      const tagged = optionalNumberColumn(row, 'tagged');
      const isBuilt = numberColumn(row, 'is_built') === 1;
      if (tagged === undefined || (withPulled && !isBuilt)) {
        const usedAtMs = tagged ?? numberColumn(row, 'created_at_ms');
        return [{ kind: 'image', name: textColumn(row, 'config_digest'), usedAtMs, snapshots }];
      }
      for (const id of snapshots) this.#use(id);
      return [];
    });
  }

  #use(id: number): void {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) return;
    snapshot.users += 1;
    if (snapshot.users > 1) return;
    const directory = this.#directories.get(snapshot.directory);
    if (directory !== undefined) {
      directory.users += 1;
      if (directory.users === 1 && directory.base !== undefined) this.#use(directory.base);
    }
    if (snapshot.parent !== undefined) this.#use(snapshot.parent);
  }

  #drop(id: number): number {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) return 0;
    snapshot.users -= 1;
    if (snapshot.users > 0) return 0;
    let freed = 0;
    const directory = this.#directories.get(snapshot.directory);
    if (directory !== undefined) {
      directory.users -= 1;
      if (directory.users === 0)
        freed += directory.bytes + (directory.base === undefined ? 0 : this.#drop(directory.base));
    }
    return freed + (snapshot.parent === undefined ? 0 : this.#drop(snapshot.parent));
  }
}

function append<Value>(lists: Map<number, Value[]>, key: number, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** Results of cache records: all records of one snapshot are one holding. */
function resultsOf(db: MetaDatabase): readonly Holding[] {
  return db
    .all('SELECT result, max(used_at_ms) AS used FROM cache_records GROUP BY result')
    .map((row) => ({ name: textColumn(row, 'result'), usedAtMs: numberColumn(row, 'used') }))
    .map(({ name, usedAtMs }) => ({ kind: 'result', name, usedAtMs, snapshots: name === '' ? [] : [rowID(name)] }));
}

/** Copies of build contexts made for bind mounts: found again by name, recorded nowhere. */
function copiesOf(db: MetaDatabase): readonly Holding[] {
  return db.all(`SELECT id, created_at_ms FROM snapshots WHERE chain_id LIKE 'context-mount:%'`).map((row) => {
    const id = numberColumn(row, 'id');
    return { kind: 'copy', name: id.toString(36), usedAtMs: numberColumn(row, 'created_at_ms'), snapshots: [id] };
  });
}

/** Snapshots of an image's layers as ImageStore writes them. */
function layerSnapshots(layersJSON: string): readonly number[] {
  const layers = JSON.parse(layersJSON) as readonly { readonly snapshot: string }[];
  return layers.map(({ snapshot }) => rowID(snapshot));
}

/** The row of a snapshot or directory with that name. */
export function rowID(name: string): number {
  return Number.parseInt(name, 36);
}
