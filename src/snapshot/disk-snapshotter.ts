// Snapshots in the store: one short-named directory each under snapshots/, everything else as rows of meta.db.
import { chmodSync, lstatSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Digest } from '../../solver/digest.ts';
import { parseDigest } from '../../solver/digest.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { removeTree } from '../gc/remove-tree.ts';
import { ownerOf, setOwner } from '../sys/recorded-owner.ts';
import type { MetaDatabase, Row } from '../store/meta-database.ts';
import { numberColumn, optionalNumberColumn, optionalTextColumn } from '../store/meta-database.ts';
import type { Owners } from '../store/owners.ts';
import { withStoreErrors } from '../store/store-errors.ts';
import type { ActiveSnapshot, CommitOptions, LayerSum, SnapshotName, Snapshotter } from './snapshotter.ts';

interface DiskSnapshotterOptions {
  readonly root: string;
  readonly db: MetaDatabase;
  readonly owners: Owners;
  readonly now: () => number;
}

// Newest first, by depth. A directory that occurs twice in a stack counts where it is newest: overlayfs refuses duplicates,
// and all that the older one has is in the newer.
const WALK = `
  WITH RECURSIVE up (id, directory, parent, depth) AS (
    SELECT id, directory, parent, 0 FROM snapshots WHERE id = ?
    UNION ALL
    SELECT s.id, s.directory, s.parent, up.depth + 1 FROM snapshots s JOIN up ON s.id = up.parent
  ) SELECT id, directory FROM up ORDER BY depth`;

/** See the port. Garbage is only marked here; src/gc removes the directories. */
export class DiskSnapshotter implements Snapshotter {
  readonly #root: string;
  readonly #db: MetaDatabase;
  readonly #owners: Owners;
  readonly #now: () => number;

  constructor(options: DiskSnapshotterOptions) {
    // What is read from snapshots is opened without following links.
    this.#root = realpathSync(options.root);
    this.#db = options.db;
    this.#owners = options.owners;
    this.#now = options.now;
  }

  prepare(parent: SnapshotName | undefined): ActiveSnapshot {
    const parentID = parent === undefined ? null : this.#idOf(parent);
    // The row comes first, so that whatever happens after is found by the next process.
    const directory = this.#db.transaction(() => {
      const id = this.#db.run('INSERT INTO directories DEFAULT VALUES').lastInsertRowid;
      this.#db.run('INSERT INTO actives (directory, parent, owner) VALUES (?, ?, ?)', id, parentID, this.#owners.own());
      return id;
    });
    const active = this.#active(directory.toString(36), parent);
    withStoreErrors(this.#root, () => makeDirectories(active));
    return active;
  }

  commit(active: ActiveSnapshot, options: CommitOptions = {}): SnapshotName {
    const directory = parseID(active.key);
    const parent = active.parent === undefined ? null : this.#idOf(active.parent);
    const id = this.#db.transaction(() => this.#commitRow(directory, parent, options));
    // Empty but for overlayfs's own leavings; of no use to a snapshot that is never written again.
    rmSync(active.workDir, { recursive: true, force: true });
    return id.toString(36);
  }

  discard(active: ActiveSnapshot): void {
    try {
      this.#discardRow(parseID(active.key));
    } catch (error) {
      if (!(error instanceof TsbuildError && error.code === 'TSB_STORE_NO_SPACE')) throw error;
      // What was written may be what fills the disk.
      removeTree(dirname(active.upperDir), Number.POSITIVE_INFINITY, () => 0);
      this.#discardRow(parseID(active.key));
    }
  }

  keep(active: ActiveSnapshot): void {
    const { changes } = this.#db.run('UPDATE actives SET is_kept = 1 WHERE directory = ?', parseID(active.key));
    if (changes === 0) throw notFound(active.key);
  }

  reopen(key: string): ActiveSnapshot | undefined {
    const row = this.#db.get('SELECT parent FROM actives WHERE directory = ?', parseID(key));
    return row === undefined ? undefined : this.#active(key, optionalNumberColumn(row, 'parent')?.toString(36));
  }

  stackOn(parent: SnapshotName | undefined, changes: SnapshotName): SnapshotName {
    const parentID = parent === undefined ? null : this.#idOf(parent);
    return this.#db.transaction(() => {
      const directory = numberColumn(this.#row(changes), 'directory');
      const existing = this.#find(directory, parentID);
      if (existing !== undefined) this.#rescue(existing);
      return (existing ?? this.#insert(directory, parentID, undefined)).toString(36);
    });
  }

  findByChainID(chainID: string): SnapshotName | undefined {
    const row = this.#db.get('SELECT id, doomed FROM snapshots WHERE chain_id = ?', chainID);
    if (row === undefined) return undefined;
    const id = numberColumn(row, 'id');
    return row.doomed === null || this.#rescue(id) ? id.toString(36) : undefined;
  }

  exists(name: SnapshotName): boolean {
    return this.#db.get('SELECT id FROM snapshots WHERE id = ?', parseID(name)) !== undefined;
  }

  parentOf(name: SnapshotName): SnapshotName | undefined {
    return optionalNumberColumn(this.#row(name), 'parent')?.toString(36);
  }

  createdAtMs(name: SnapshotName): number {
    return numberColumn(this.#row(name), 'created_at_ms');
  }

  stack(name: SnapshotName): readonly string[] {
    const directories = new Set(this.#walk(name).map((row) => numberColumn(row, 'directory')));
    return Array.from(directories, (id) => this.#directory(id));
  }

  chain(name: SnapshotName): readonly SnapshotName[] {
    return this.#walk(name)
      .map((row) => numberColumn(row, 'id').toString(36))
      .reverse();
  }

  changesDir(name: SnapshotName): string {
    return this.#directory(numberColumn(this.#row(name), 'directory'));
  }

  layerDirs(name: SnapshotName): { readonly upperDir: string; readonly lowerDirs: readonly string[] } {
    const row = this.#db.get(
      'SELECT directory, base FROM snapshots JOIN directories ON directories.id = directory WHERE snapshots.id = ?',
      parseID(name),
    );
    if (row === undefined) throw notFound(name);
    const base = optionalNumberColumn(row, 'base')?.toString(36);
    const lowerDirs = base === undefined ? [] : this.stack(base);
    return { upperDir: this.#directory(numberColumn(row, 'directory')), lowerDirs };
  }

  setDiffID(name: SnapshotName, diffID: Digest, sizeBytes: number): void {
    const directory = numberColumn(this.#row(name), 'directory');
    this.#db.run('UPDATE directories SET diff_id = ?, size_bytes = ? WHERE id = ?', diffID, sizeBytes, directory);
  }

  diffIDOf(name: SnapshotName): LayerSum | undefined {
    const row = this.#db.get(
      'SELECT d.diff_id, d.size_bytes FROM snapshots s JOIN directories d ON d.id = s.directory WHERE s.id = ?',
      parseID(name),
    );
    if (row === undefined) throw notFound(name);
    const diffID = optionalTextColumn(row, 'diff_id');
    return diffID === undefined
      ? undefined
      : { diffID: parseDigest(diffID), sizeBytes: numberColumn(row, 'size_bytes') };
  }

  #discardRow(directory: number): void {
    this.#db.transaction(() => {
      if (this.#db.run('DELETE FROM actives WHERE directory = ?', directory).changes > 0) this.#markGarbage(directory);
    });
  }

  #directory(id: number): string {
    return join(this.#root, 'snapshots', id.toString(36), 'fs');
  }

  #active(key: string, parent: SnapshotName | undefined): ActiveSnapshot {
    const base = join(this.#root, 'snapshots', key);
    const lowerDirs = parent === undefined ? [] : this.stack(parent);
    return { key, parent, upperDir: join(base, 'fs'), workDir: join(base, 'work'), lowerDirs };
  }

  #commitRow(directory: number, parent: number | null, { chainID, createdAtMs }: CommitOptions): number {
    const winner = chainID === undefined ? undefined : this.findByChainID(chainID);
    const wasActive = this.#db.run('DELETE FROM actives WHERE directory = ?', directory).changes > 0;
    if (winner !== undefined) {
      if (wasActive) this.#markGarbage(directory);
      return parseID(winner);
    }
    if (wasActive) {
      this.#db.run('UPDATE directories SET base = ? WHERE id = ?', parent, directory);
      return this.#insert(directory, parent, chainID, createdAtMs);
    }
    const committed = this.#find(directory, parent);
    if (committed === undefined) throw notFound(directory.toString(36));
    return committed;
  }

  #insert(
    directory: number,
    parent: number | null,
    chainID: string | undefined,
    createdAtMs: number = this.#now(),
  ): number {
    return this.#db.run(
      'INSERT INTO snapshots (directory, parent, chain_id, created_at_ms) VALUES (?, ?, ?, ?)',
      directory,
      parent,
      chainID ?? null,
      createdAtMs,
    ).lastInsertRowid;
  }

  /** Found by name although gc wanted to take it once the builds of that time have ended: it is needed again. */
  #rescue(id: number): boolean {
    return this.#db.run('UPDATE snapshots SET doomed = NULL WHERE id = ?', id).changes > 0;
  }

  #find(directory: number, parent: number | null): number | undefined {
    const row = this.#db.get(
      'SELECT id FROM snapshots WHERE directory = ? AND parent IS ? ORDER BY id LIMIT 1',
      directory,
      parent,
    );
    return row === undefined ? undefined : numberColumn(row, 'id');
  }

  #markGarbage(directory: number): void {
    this.#db.run('UPDATE directories SET is_garbage = 1 WHERE id = ?', directory);
  }

  #walk(name: SnapshotName): readonly Row[] {
    const rows = this.#db.all(WALK, parseID(name));
    if (rows.length === 0) throw notFound(name);
    return rows;
  }

  #row(name: SnapshotName): Row {
    const row = this.#db.get('SELECT * FROM snapshots WHERE id = ?', parseID(name));
    if (row === undefined) throw notFound(name);
    return row;
  }

  #idOf(name: SnapshotName): number {
    return numberColumn(this.#row(name), 'id');
  }
}

function makeDirectories({ upperDir, workDir, lowerDirs }: ActiveSnapshot): void {
  mkdirSync(dirname(upperDir), { mode: 0o700 });
  mkdirSync(upperDir);
  // The umask does not count, and a set-group-ID store directory must not leak its group into images.
  chmodSync(upperDir, 0o755);
  if (process.geteuid?.() === 0) {
    // The root directory keeps its owner from layer to layer, as in containerd's overlay snapshotter.
    const [parent] = lowerDirs;
    const owner = parent === undefined ? { uid: 0, gid: 0 } : ownerOf(parent, lstatSync(parent));
    setOwner(upperDir, owner, true);
  }
  mkdirSync(workDir, { mode: 0o700 });
}

/** Row id behind a name or key; -1, which no row has, for what is no base 36 number. */
function parseID(name: string): number {
  return /^[0-9a-z]{1,10}$/.test(name) ? Number.parseInt(name, 36) : -1;
}

function notFound(name: string): TsbuildError {
  return new TsbuildError('TSB_SNAPSHOT_NOT_FOUND', `snapshot "${name}" is not in the store`, {
    hint: 'it may have been pruned: build again',
  });
}
