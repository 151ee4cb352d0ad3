// The store's SQLite file: statements prepared on first use, write transactions, failures as store errors.
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { TsbuildError } from '../../solver/errors.ts';
import { elapsedMs } from '../sys/clock.ts';
import { giveUpReserve } from './reserve.ts';
import { isBusy, withStoreErrors } from './store-errors.ts';

type SQLValue = SQLInputValue;

/** Columns by name; whoever reads one checks its type. */
export type Row = Readonly<Record<string, unknown>>;

/** How long a write waits for another process's write. Writes take microseconds to milliseconds. */
const BUSY_TIMEOUT_MS = 30_000;
const RETRY_MS = 2;

/** All calls throw store errors (TSB_STORE_…). Closed by `close`, which may be called twice. */
export class MetaDatabase {
  readonly #root: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #isInTransaction = false;

  constructor(root: string, path: string, busyTimeoutMs: number = BUSY_TIMEOUT_MS) {
    this.#root = root;
    this.#database = this.#guarded(() => {
      const database = new DatabaseSync(path, { timeout: busyTimeoutMs, enableForeignKeyConstraints: true });
      useWriteAheadLog(database, busyTimeoutMs);
      database.exec('PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY');
      return database;
    });
  }

  exec(sql: string): void {
    this.#guarded(() => this.#database.exec(sql));
  }

  /** Runs a statement; the result's `lastInsertRowid` and `changes` are those of SQLite. */
  run(sql: string, ...values: SQLValue[]): { readonly changes: number; readonly lastInsertRowid: number } {
    return this.#guarded(() => {
      const { changes, lastInsertRowid } = this.#prepare(sql).run(...values);
      return { changes: Number(changes), lastInsertRowid: Number(lastInsertRowid) };
    });
  }

  /** The first row, or undefined. */
  get(sql: string, ...values: SQLValue[]): Row | undefined {
    return this.#guarded(() => this.#prepare(sql).get(...values));
  }

  all(sql: string, ...values: SQLValue[]): readonly Row[] {
    return this.#guarded(() => this.#prepare(sql).all(...values));
  }

  /** Runs the function in one write transaction; a call inside another joins it. Rolled back when the function throws. */
  transaction<T>(run: () => T): T {
    return this.#isInTransaction ? run() : this.#withReserve(() => this.#transaction(run));
  }

  /** What the function gives in a write transaction that is rolled back: what would be. Not inside another. */
  trial<T>(run: () => T): T {
    this.#guarded(() => this.#prepare('BEGIN IMMEDIATE').run());
    this.#isInTransaction = true;
    try {
      return run();
    } finally {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#isInTransaction = false;
    }
  }

  #transaction<T>(run: () => T): T {
    this.#guarded(() => this.#prepare('BEGIN IMMEDIATE').run());
    this.#isInTransaction = true;
    try {
      const value = run();
      this.#guarded(() => this.#prepare('COMMIT').run());
      return value;
    } catch (error) {
      // After a full disk SQLite has rolled back by itself.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    } finally {
      this.#isInTransaction = false;
    }
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#guarded(() => this.#database.close());
  }

  /** Store errors; a call by itself that finds the disk full is tried once more in the space put by. */
  #guarded<T>(call: () => T): T {
    const guarded = (): T => withStoreErrors(this.#root, call);
    return this.#isInTransaction ? guarded() : this.#withReserve(guarded);
  }

  #withReserve<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      const isFull = error instanceof TsbuildError && error.code === 'TSB_STORE_NO_SPACE';
      if (!isFull || !giveUpReserve(this.#root)) throw error;
      return call();
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/**
 * Of several processes that turn a new file to a write-ahead log, SQLite lets none wait for another, whatever its timeout
 * says: https://sqlite.org/rescode.html#busy. So they are made to wait here.
 */
function useWriteAheadLog(database: DatabaseSync, busyTimeoutMs: number): void {
  const deadlineMs = elapsedMs() + busyTimeoutMs;
  for (;;) {
    try {
      database.exec('PRAGMA journal_mode=WAL');
      return;
    } catch (error) {
      if (!isBusy(error) || elapsedMs() > deadlineMs) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/** A column that the schema says is text. */
export function textColumn(row: Row, name: string): string {
  const value = row[name];
  if (typeof value !== 'string') throw new Error(`internal error: column "${name}" is no text`);
  return value;
}

/** A column that the schema says is text or null. */
export function optionalTextColumn(row: Row, name: string): string | undefined {
  return row[name] === null ? undefined : textColumn(row, name);
}

/** A column that the schema says is a number. */
export function numberColumn(row: Row, name: string): number {
  const value = row[name];
  if (typeof value !== 'number') throw new Error(`internal error: column "${name}" is no number`);
  return value;
}

/** A column that the schema says is a number or null. */
export function optionalNumberColumn(row: Row, name: string): number | undefined {
  return row[name] === null ? undefined : numberColumn(row, name);
}
