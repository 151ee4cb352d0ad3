// What was fetched over http, so that a later build can ask whether it has changed instead of fetching it again.
import { type Digest, digestOf, parseDigest } from '../../solver/digest.ts';
import type { MetaDatabase } from './meta-database.ts';
import { numberColumn, optionalTextColumn, textColumn } from './meta-database.ts';

/** The body lies in the content store, and may have been collected since. */
export interface FetchedFile {
  readonly digest: Digest;
  /** Without the `W/` of a weak one. */
  readonly etag?: string;
  /** An HTTP date, only of a well-formed header. */
  readonly lastModified?: string;
  /** True when a later change cannot have the same date: dates have whole seconds, and the file was older than that. */
  readonly isDateUnique: boolean;
}

/** One file a URL: the latest. URLs may hold secrets, so only their digests are kept. */
export class FetchedFiles {
  readonly #db: MetaDatabase;
  readonly #now: () => number;

  constructor(db: MetaDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  find(url: string): FetchedFile | undefined {
    const row = this.#db.get('SELECT * FROM fetched_files WHERE source = ?', digestOf(url));
    if (row === undefined) return undefined;
    const [etag, lastModified] = [optionalTextColumn(row, 'etag'), optionalTextColumn(row, 'last_modified')];
    return {
      digest: parseDigest(textColumn(row, 'digest')),
      ...(etag !== undefined && { etag }),
      ...(lastModified !== undefined && { lastModified }),
      isDateUnique: numberColumn(row, 'is_date_unique') === 1,
    };
  }

  save(url: string, file: FetchedFile): void {
    this.#db.run(
      `INSERT OR REPLACE INTO fetched_files (source, digest, etag, last_modified, is_date_unique, fetched_at_ms)
       VALUES (?, ?, ?, ?, ?, ?)`,
      digestOf(url),
      file.digest,
      file.etag ?? null,
      file.lastModified ?? null,
      file.isDateUnique ? 1 : 0,
      this.#now(),
    );
  }
}
