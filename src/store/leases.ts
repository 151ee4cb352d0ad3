// Leases: while a process holds one, nothing that was made or used since it took it is garbage, although no image or
// record may name it yet. The lease of a process that has ended is removed by the next process.
import type { MetaDatabase } from './meta-database.ts';
import { optionalNumberColumn } from './meta-database.ts';
import type { Owners } from './owners.ts';

/** Held until released; releasing twice is fine. */
interface Lease {
  release(): void;
}

/** A table of the store, which all its processes see. */
export class Leases {
  readonly #db: MetaDatabase;
  readonly #owners: Owners;
  readonly #now: () => number;

  constructor(db: MetaDatabase, owners: Owners, now: () => number) {
    this.#db = db;
    this.#owners = owners;
    this.#now = now;
  }

  acquire(): Lease {
    const id = this.#db.transaction(
      () =>
        this.#db.run('INSERT INTO leases (owner, created_at_ms) VALUES (?, ?)', this.#owners.own(), this.#now())
          .lastInsertRowid,
    );
    return { release: () => void this.#db.run('DELETE FROM leases WHERE id = ?', id) };
  }

  /** ms since the epoch of the oldest lease: what is younger must not be collected. */
  oldestMs(): number | undefined {
    return optionalNumberColumn(this.#db.get('SELECT min(created_at_ms) AS oldest FROM leases') ?? {}, 'oldest');
  }
}
