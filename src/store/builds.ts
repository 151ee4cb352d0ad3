// What was built, step by step, and the states of failed steps: what `tsbuild debug` enters and `tsbuild history` lists.
//
// A build has a directory runs/<id>/ for its logs. The state of a failed step is an active snapshot that outlives its
// process; the last FAILURES_KEPT of them are kept for FAILURE_AGE_MS, older ones become garbage.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../solver/digest.ts';
import type { SourceRange } from '../../solver/errors.ts';
import type { SnapshotName } from '../snapshot/snapshotter.ts';
import { buildOf, stepOf } from './build-rows.ts';
import type { MetaDatabase } from './meta-database.ts';
import { numberColumn, optionalTextColumn, textColumn } from './meta-database.ts';
import type { Owners } from './owners.ts';
import { withStoreErrors } from './store-errors.ts';

const FAILURES_KEPT = 3;
const FAILURE_AGE_MS: number = 7 * 86_400_000;

/** `running` until it is finished; `interrupted` is what the store's next user writes for a process that died. */
export type BuildStatus = 'running' | 'completed' | 'failed' | 'canceled' | 'interrupted';

/** As BuildStatus, and `cached` for a step that did not have to run. */
export type StepStatus = 'running' | 'cached' | 'completed' | 'failed' | 'canceled' | 'interrupted';

interface BuildStart {
  readonly dockerfile: string;
  /** Absolute path of the build context. */
  readonly context?: string;
  readonly target?: string;
}

/** One build, from its start; times are UTC, ms since the epoch. */
export interface BuildRecord extends BuildStart {
  readonly id: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number | undefined;
  /** `interrupted`: its process ended without a word. */
  readonly status: BuildStatus;
  /** Config digest of what it made. */
  readonly imageDigest: Digest | undefined;
}

/** One step of a build; times are UTC, ms since the epoch. */
export interface StepRecord {
  /** As progress shows it: unique in its build. */
  readonly number: number;
  readonly vertex: Digest;
  readonly name: string;
  readonly range?: SourceRange;
  readonly startedAtMs: number;
  readonly endedAtMs?: number;
  readonly status: StepStatus;
  /** File with the full output. */
  readonly logPath?: string;
  /** The JSON of what was run, as its writer chose it. */
  readonly runSpec?: string;
  /** Key of the active snapshot a failed step left. */
  readonly activeKey?: string;
  /** The committed snapshot the step began with. */
  readonly parentSnapshot?: SnapshotName;
  readonly message?: string;
  /** The snapshot it gave, from a run or a record. */
  readonly result?: SnapshotName;
  /** The JSON of why it ran, as src/explain writes it. */
  readonly reasons?: string;
}

/** A step whose state is kept. */
export interface FailureRecord extends StepRecord {
  readonly build: string;
  readonly activeKey: string;
}

interface BuildsOptions {
  readonly root: string;
  readonly db: MetaDatabase;
  readonly owners: Owners;
  readonly now: () => number;
}

/** Each call is one transaction. */
export class Builds {
  readonly #root: string;
  readonly #db: MetaDatabase;
  readonly #owners: Owners;
  readonly #now: () => number;
  /** Of the builds this object has started: while one is held, gc takes nothing that the build may have found. */
  readonly #leases = new Map<string, number>();

  constructor({ root, db, owners, now }: BuildsOptions) {
    this.#root = root;
    this.#db = db;
    this.#owners = owners;
    this.#now = now;
  }

  /** Records a running build of this process and returns its id; ids grow with time. */
  start({ dockerfile, context, target }: BuildStart): string {
    const startedAtMs = this.#now();
    return this.#db.transaction(() => {
      const id = this.#freeID(startedAtMs);
      const owner = this.#owners.own();
      this.#db.run(
        `INSERT INTO builds (id, owner, dockerfile, context, target, started_at_ms, status)
         VALUES (?, ?, ?, ?, ?, ?, 'running')`,
        id,
        owner,
        dockerfile,
        context ?? null,
        target ?? null,
        startedAtMs,
      );
      const lease = this.#db.run('INSERT INTO leases (owner, created_at_ms) VALUES (?, ?)', owner, startedAtMs);
      this.#leases.set(id, lease.lastInsertRowid);
      return id;
    });
  }

  /** runs/<id>/, made on the first call. */
  directory(id: string): string {
    const path = join(this.#root, 'runs', id);
    withStoreErrors(this.#root, () => mkdirSync(path, { recursive: true }));
    return path;
  }

  /** Writes the step, or what it has become. */
  recordStep(build: string, step: StepRecord): void {
    this.recordSteps(build, [step]);
  }

  /** Several steps in one transaction: those of a cached build cost one write together. */
  recordSteps(build: string, steps: readonly StepRecord[]): void {
    this.#db.transaction(() => {
      for (const step of steps) this.#saveStep(build, step);
    });
  }

  /** Records a failed step and keeps its active snapshot beyond this process; forgets failures that are too old or too many. */
  recordFailure(build: string, step: StepRecord & { readonly activeKey: string }): void {
    this.#db.transaction(() => {
      this.#db.run('UPDATE actives SET is_kept = 1 WHERE directory = ?', directoryID(step.activeKey));
      this.#saveStep(build, step);
      this.#forgetFailures();
    });
  }

  /** Ends the build and its lease, and records its last steps, in one transaction. */
  finish(build: string, status: BuildStatus, imageDigest?: Digest, steps: readonly StepRecord[] = []): void {
    const quiet = steps.filter(isQuiet);
    this.#db.transaction(() => {
      for (const step of steps) if (!isQuiet(step)) this.#saveStep(build, step);
      this.#db.run(
        'UPDATE builds SET status = ?, ended_at_ms = ?, image_digest = ?, quiet_steps = ? WHERE id = ?',
        status,
        this.#now(),
        imageDigest ?? null,
        quiet.length === 0 ? null : JSON.stringify(quiet),
        build,
      );
      const lease = this.#leases.get(build);
      if (lease !== undefined) this.#db.run('DELETE FROM leases WHERE id = ?', lease);
    });
    this.#leases.delete(build);
  }

  /** Forgets an ended build, its steps and logs, and what its failed steps left; false when there is none, or when it still runs. */
  remove(id: string): boolean {
    const isGone = this.#db.transaction(() => {
      if ((this.get(id)?.status ?? 'running') === 'running') return false;
      this.#forgetStates(this.failures().filter(({ build }) => build === id));
      return this.#db.run('DELETE FROM builds WHERE id = ?', id).changes > 0;
    });
    if (isGone) rmSync(join(this.#root, 'runs', id), { recursive: true, force: true });
    return isGone;
  }

  /** The newest kept failure, of that build or of any. */
  lastFailure(build?: string): FailureRecord | undefined {
    return this.failures().find((failure) => build === undefined || failure.build === build);
  }

  /** Kept failures, newest first. */
  failures(): readonly FailureRecord[] {
    return this.#db
      .all(
        `SELECT steps.* FROM steps JOIN actives ON actives.directory = steps.active_key AND is_kept = 1
         ORDER BY coalesce(steps.ended_at_ms, steps.started_at_ms) DESC, build DESC, number DESC`,
      )
      .map((row) => ({
        ...stepOf(row),
        build: textColumn(row, 'build'),
        activeKey: numberColumn(row, 'active_key').toString(36),
      }));
  }

  get(id: string): BuildRecord | undefined {
    const row = this.#db.get('SELECT * FROM builds WHERE id = ?', id);
    return row === undefined ? undefined : buildOf(row);
  }

  /** Newest first. */
  list(limit = 100): readonly BuildRecord[] {
    return this.#db.all('SELECT * FROM builds ORDER BY started_at_ms DESC, id DESC LIMIT ?', limit).map(buildOf);
  }

  /** Ids of ended builds of the same Dockerfile and context, the newest first. */
  before(id: string, limit: number): readonly string[] {
    const rows = this.#db.all(
      `SELECT other.id FROM builds other JOIN builds this ON this.id = ?1
       WHERE other.context IS this.context AND other.dockerfile = this.dockerfile AND other.id <> ?1
         AND other.started_at_ms <= this.started_at_ms AND other.status <> 'running'
       ORDER BY other.started_at_ms DESC LIMIT ?2`,
      id,
      limit,
    );
    return rows.map((row) => textColumn(row, 'id'));
  }

  /** In the order of their numbers. */
  steps(build: string): readonly StepRecord[] {
    const rows = this.#db.all('SELECT * FROM steps WHERE build = ?', build).map(stepOf);
    const row = this.#db.get('SELECT quiet_steps FROM builds WHERE id = ?', build);
    // Written by `finish` only.
    const quiet = JSON.parse(optionalTextColumn(row ?? { quiet_steps: null }, 'quiet_steps') ?? '[]') as StepRecord[];
    return [...rows, ...quiet].sort((a, b) => a.number - b.number);
  }

  #saveStep(build: string, step: StepRecord): void {
    this.#db.run(
      `INSERT OR REPLACE INTO steps (build, number, vertex, name, source_range, started_at_ms, ended_at_ms, status,
         log_path, run_spec, active_key, parent_snapshot, message, result, reasons)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      build,
      step.number,
      step.vertex,
      step.name,
      step.range === undefined ? null : JSON.stringify(step.range),
      step.startedAtMs,
      step.endedAtMs ?? null,
      step.status,
      step.logPath ?? null,
      step.runSpec ?? null,
      step.activeKey === undefined ? null : directoryID(step.activeKey),
      step.parentSnapshot ?? null,
      step.message ?? null,
      step.result ?? null,
      step.reasons ?? null,
    );
  }

  #forgetFailures(): void {
    const oldestMs = this.#now() - FAILURE_AGE_MS;
    const isGone = (failure: FailureRecord, index: number): boolean =>
      index >= FAILURES_KEPT || (failure.endedAtMs ?? failure.startedAtMs) < oldestMs;
    this.#forgetStates(this.failures().filter(isGone));
  }

  /** Their directories become garbage. */
  #forgetStates(failures: readonly FailureRecord[]): void {
    for (const { activeKey } of failures) {
      this.#db.run('DELETE FROM actives WHERE directory = ?', directoryID(activeKey));
      this.#db.run('UPDATE directories SET is_garbage = 1 WHERE id = ?', directoryID(activeKey));
      this.#db.run('UPDATE steps SET active_key = NULL WHERE active_key = ?', directoryID(activeKey));
    }
  }

  /** The start in base 36, moved on when another build began in the same millisecond. */
  #freeID(startedAtMs: number): string {
    for (let ms = Math.floor(startedAtMs); ; ms += 1) {
      const id = ms.toString(36);
      if (this.get(id) === undefined) return id;
    }
  }
}

/** Nothing asks for it but by its build. */
function isQuiet({ status, reasons, logPath }: StepRecord): boolean {
  return reasons === undefined && logPath === undefined && (status === 'cached' || status === 'completed');
}

function directoryID(key: string): number {
  return Number.parseInt(key, 36);
}
