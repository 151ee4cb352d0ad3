// The tables of meta.db and how an older file is brought up to date. A migration is never edited once released: add one.
import type { MetaDatabase } from './meta-database.ts';
import { numberColumn } from './meta-database.ts';
import { newerStoreError } from './store-errors.ts';

/** Number n brings a database from version n to n + 1. */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE owners (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pid INTEGER NOT NULL, started TEXT NOT NULL, boot TEXT NOT NULL, pid_namespace TEXT NOT NULL,
    UNIQUE (pid, started, boot, pid_namespace)
  );
  CREATE TABLE leases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner INTEGER NOT NULL REFERENCES owners, created_at_ms REAL NOT NULL
  );
  CREATE TABLE directories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    is_garbage INTEGER NOT NULL DEFAULT 0, base INTEGER REFERENCES snapshots, diff_id TEXT, size_bytes INTEGER
  );
  CREATE INDEX directories_garbage ON directories (id) WHERE is_garbage = 1;
  CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    directory INTEGER NOT NULL REFERENCES directories, parent INTEGER REFERENCES snapshots,
    chain_id TEXT, created_at_ms REAL NOT NULL
  );
  CREATE UNIQUE INDEX snapshots_chain ON snapshots (chain_id) WHERE chain_id IS NOT NULL;
  CREATE INDEX snapshots_directory ON snapshots (directory, parent);
  CREATE INDEX snapshots_parent ON snapshots (parent);
  CREATE TABLE actives (
    directory INTEGER PRIMARY KEY REFERENCES directories,
    parent INTEGER REFERENCES snapshots, owner INTEGER REFERENCES owners, is_kept INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE layer_blobs (
    diff_id TEXT NOT NULL, media_type TEXT NOT NULL, digest TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    is_pulled INTEGER NOT NULL, PRIMARY KEY (diff_id, media_type)
  ) WITHOUT ROWID;
  CREATE TABLE cache_keys (id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL, output INTEGER NOT NULL);
  CREATE TABLE cache_links (
    digest TEXT NOT NULL, output INTEGER NOT NULL, source INTEGER NOT NULL, input INTEGER NOT NULL,
    selector TEXT NOT NULL, target INTEGER NOT NULL REFERENCES cache_keys,
    PRIMARY KEY (digest, output, source, input, selector, target)
  ) WITHOUT ROWID;
  CREATE INDEX cache_links_target ON cache_links (target);
  CREATE TABLE cache_records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL REFERENCES cache_keys, result TEXT NOT NULL,
    created_at_ms REAL NOT NULL, used_at_ms REAL NOT NULL, parts TEXT NOT NULL,
    UNIQUE (key, result)
  );
  CREATE INDEX cache_records_result ON cache_records (result);
  CREATE TABLE stat_cache (
    root TEXT NOT NULL, chunk INTEGER NOT NULL, entries BLOB NOT NULL, saved_at_ms REAL NOT NULL,
    PRIMARY KEY (root, chunk)
  );
  CREATE TABLE images (
    config_digest TEXT PRIMARY KEY, manifest_digest TEXT, layers TEXT NOT NULL, platform TEXT NOT NULL,
    created_at_ms REAL NOT NULL, is_built INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE tags (
    reference TEXT NOT NULL, platform TEXT NOT NULL,
    config_digest TEXT NOT NULL REFERENCES images ON DELETE CASCADE,
    resolved_digest TEXT, tagged_at_ms REAL NOT NULL,
    PRIMARY KEY (reference, platform)
  ) WITHOUT ROWID;
  CREATE INDEX tags_image ON tags (config_digest);
  CREATE TABLE builds (
    id TEXT PRIMARY KEY, owner INTEGER NOT NULL,
    dockerfile TEXT NOT NULL, target TEXT, started_at_ms REAL NOT NULL,
    ended_at_ms REAL, status TEXT NOT NULL, image_digest TEXT
  ) WITHOUT ROWID;
  CREATE INDEX builds_started ON builds (started_at_ms);
  CREATE TABLE steps (
    build TEXT NOT NULL REFERENCES builds ON DELETE CASCADE, number INTEGER NOT NULL,
    vertex TEXT NOT NULL, name TEXT NOT NULL, source_range TEXT,
    started_at_ms REAL NOT NULL, ended_at_ms REAL, status TEXT NOT NULL, log_path TEXT,
    run_spec TEXT, active_key INTEGER, parent_snapshot TEXT, message TEXT,
    PRIMARY KEY (build, number)
  ) WITHOUT ROWID;
  CREATE INDEX steps_failed ON steps (active_key) WHERE active_key IS NOT NULL;
  `,
  `
  CREATE TABLE fetched_files (
    source TEXT PRIMARY KEY, digest TEXT NOT NULL, etag TEXT, last_modified TEXT,
    is_date_unique INTEGER NOT NULL, fetched_at_ms REAL NOT NULL
  ) WITHOUT ROWID;
  `,
  // doomed: the newest lease when nothing needed the snapshot any more. disk_bytes: NULL until it was measured.
  // quiet_steps: JSON of the steps of which there is little to tell, such as cached ones; one write for all of them.
  `
  ALTER TABLE snapshots ADD COLUMN doomed INTEGER;
  ALTER TABLE directories ADD COLUMN disk_bytes INTEGER;
  ALTER TABLE builds ADD COLUMN context TEXT;
  ALTER TABLE builds ADD COLUMN quiet_steps TEXT;
  ALTER TABLE steps ADD COLUMN result TEXT;
  ALTER TABLE steps ADD COLUMN reasons TEXT;
  CREATE TABLE step_parts (result TEXT PRIMARY KEY, parts TEXT NOT NULL, paths BLOB) WITHOUT ROWID;
  `,
  // An image can be pulled under one name and built under another.
  `
  ALTER TABLE tags ADD COLUMN is_built INTEGER NOT NULL DEFAULT 0;
  UPDATE tags SET is_built = (SELECT is_built FROM images WHERE images.config_digest = tags.config_digest);
  `,
  // Each snapshot that goes asks for what stands on it: without this, of every directory there is.
  `
  CREATE INDEX directories_base ON directories (base) WHERE base IS NOT NULL;
  `,
  // log_bytes: on disk; NULL until it was measured.
  `
  ALTER TABLE builds ADD COLUMN log_bytes INTEGER;
  `,
  // What goes first, and whose image it is, without a look at all there is: see gc/oldest.ts.
  `
  CREATE INDEX cache_records_used ON cache_records (used_at_ms);
  CREATE INDEX images_top ON images (layers ->> '$[#-1].snapshot');
  `,
];

/** The schema version this tsbuild writes. */
export const SCHEMA_VERSION: number = MIGRATIONS.length;

/** Brings the database to SCHEMA_VERSION, once even when several processes open it at the same time; throws TSB_STORE_NEWER. */
export function migrate(db: MetaDatabase, root: string): void {
  if (versionOf(db) === SCHEMA_VERSION) return;
  db.transaction(() => {
    const version = versionOf(db);
    if (version > SCHEMA_VERSION) throw newerStoreError(root, version, SCHEMA_VERSION);
    for (const migration of MIGRATIONS.slice(version)) db.exec(migration);
    db.exec(`PRAGMA user_version=${SCHEMA_VERSION}`);
  });
}

function versionOf(db: MetaDatabase): number {
  return numberColumn(db.get('PRAGMA user_version') ?? {}, 'user_version');
}
