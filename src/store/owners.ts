// Which process holds what in the store. A process is known by its pid, when it started, and the boot it runs in, so
// that a pid used again is not taken for its former bearer. Nothing has to be done at exit: the dead are noticed.
import { readFileSync, readlinkSync } from 'node:fs';
import type { MetaDatabase, Row } from './meta-database.ts';
import { numberColumn, textColumn } from './meta-database.ts';

/** A process as the store records it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot: field 22 of /proc/<pid>/stat. */
  readonly started: string;
  readonly boot: string;
  /** Pids of another pid namespace mean nothing here. */
  readonly pidNamespace: string;
}

/** The calling process. */
export function currentProcess(): ProcessIdentity {
  return {
    pid: process.pid,
    started: startTimeOf('self') ?? '',
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
  };
}

/** False only when the process has certainly ended, as far as `self` can tell. */
export function isAlive(other: ProcessIdentity, self: ProcessIdentity): boolean {
  if (other.boot !== self.boot) return false;
  if (other.pidNamespace !== self.pidNamespace) return true;
  return startTimeOf(String(other.pid)) === other.started;
}

/** Start time of a process, or undefined when there is none or it is a zombie, which holds nothing any more. */
export function startTimeOf(pid: string): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The command's name is in parentheses and may hold anything; state is the 3rd field, start time the 22nd.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
}

/** Prefix of the names of temporary files of a process: tells whether their writer still lives. */
export function temporaryPrefix(owner: ProcessIdentity): string {
  return `${owner.pid}-${owner.started}-${/\d+/.exec(owner.pidNamespace)?.[0] ?? '0'}-`;
}

/** True when the name is of that form and its writer, of the same pid namespace, has ended. */
export function isAbandoned(temporaryName: string, self: ProcessIdentity): boolean {
  const match = /^(\d+)-(\d+)-(\d+)-/.exec(temporaryName);
  if (match?.[1] === undefined || !self.pidNamespace.includes(`[${match[3]}]`)) return false;
  return startTimeOf(match[1]) !== match[2];
}

/** The owners table. The own row is written on first use. */
export class Owners {
  readonly #db: MetaDatabase;
  #self: ProcessIdentity | undefined;
  #ownID: number | undefined;

  constructor(db: MetaDatabase) {
    this.#db = db;
  }

  /** Row id of this process; looked up each time, since a rollback takes the row with it. */
  own(): number {
    if (this.#ownID !== undefined && this.#exists(this.#ownID)) return this.#ownID;
    const { pid, started, boot, pidNamespace } = this.self();
    this.#db.run(
      'INSERT OR IGNORE INTO owners (pid, started, boot, pid_namespace) VALUES (?, ?, ?, ?)',
      pid,
      started,
      boot,
      pidNamespace,
    );
    const row = this.#db.get(
      'SELECT id FROM owners WHERE pid = ? AND started = ? AND boot = ? AND pid_namespace = ?',
      pid,
      started,
      boot,
      pidNamespace,
    );
    this.#ownID = numberColumn(row ?? {}, 'id');
    return this.#ownID;
  }

  /** The same if this process has been recorded. */
  get recorded(): number | undefined {
    return this.#ownID;
  }

  self(): ProcessIdentity {
    this.#self ??= currentProcess();
    return this.#self;
  }

  /** Ids of recorded processes that have ended. */
  dead(): readonly number[] {
    const rows = this.#db.all('SELECT id, pid, started, boot, pid_namespace FROM owners');
    return rows.filter((row) => !isAlive(identityOf(row), this.self())).map((row) => numberColumn(row, 'id'));
  }

  #exists(id: number): boolean {
    return this.#db.get('SELECT 1 AS found FROM owners WHERE id = ?', id) !== undefined;
  }
}

function identityOf(row: Row): ProcessIdentity {
  return {
    pid: numberColumn(row, 'pid'),
    started: textColumn(row, 'started'),
    boot: textColumn(row, 'boot'),
    pidNamespace: textColumn(row, 'pid_namespace'),
  };
}
