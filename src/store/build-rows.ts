// Rows of the tables of builds and steps as records.
import { parseDigest } from '../../solver/digest.ts';
import type { SourceRange } from '../../solver/errors.ts';
import type { BuildRecord, BuildStatus, StepRecord, StepStatus } from './builds.ts';
import type { Row } from './meta-database.ts';
import { numberColumn, optionalNumberColumn, optionalTextColumn, textColumn } from './meta-database.ts';

/** A row of `builds`. */
export function buildOf(row: Row): BuildRecord {
  const target = optionalTextColumn(row, 'target');
  const context = optionalTextColumn(row, 'context');
  const image = optionalTextColumn(row, 'image_digest');
  return {
    id: textColumn(row, 'id'),
    dockerfile: textColumn(row, 'dockerfile'),
    ...(context === undefined ? {} : { context }),
    ...(target === undefined ? {} : { target }),
    startedAtMs: numberColumn(row, 'started_at_ms'),
    endedAtMs: optionalNumberColumn(row, 'ended_at_ms'),
    // Written by this class and by reap.ts only.
    status: textColumn(row, 'status') as BuildStatus,
    imageDigest: image === undefined ? undefined : parseDigest(image),
  };
}

/** A row of `steps`. */
export function stepOf(row: Row): StepRecord {
  const optional = {
    range: parseOptional(optionalTextColumn(row, 'source_range')),
    endedAtMs: optionalNumberColumn(row, 'ended_at_ms'),
    logPath: optionalTextColumn(row, 'log_path'),
    runSpec: optionalTextColumn(row, 'run_spec'),
    activeKey: optionalNumberColumn(row, 'active_key')?.toString(36),
    parentSnapshot: optionalTextColumn(row, 'parent_snapshot'),
    message: optionalTextColumn(row, 'message'),
    result: optionalTextColumn(row, 'result'),
    reasons: optionalTextColumn(row, 'reasons'),
  };
  const step: StepRecord = {
    number: numberColumn(row, 'number'),
    vertex: parseDigest(textColumn(row, 'vertex')),
    name: textColumn(row, 'name'),
    startedAtMs: numberColumn(row, 'started_at_ms'),
    status: textColumn(row, 'status') as StepStatus,
  };
  // Absent columns are absent fields.
  return { ...step, ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) };
}

function parseOptional(json: string | undefined): SourceRange | undefined {
  return json === undefined ? undefined : (JSON.parse(json) as SourceRange);
}
