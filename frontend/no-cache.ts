// Which steps run whatever the cache holds: all of them, those of named stages, or those on named lines of the Dockerfile.
import { TsbuildError } from '../solver/errors.ts';
import type { ConvertOptions } from './convert-options.ts';
import type { Instruction } from './instruction.ts';
import { lastLineOf } from './source-file.ts';
import type { Stage } from './stages.ts';

/** Why a step runs whatever the cache holds: `filter` is the one of several wishes that names it. */
export interface NoCache {
  readonly filter?: string;
}

/** Undefined for an instruction of the stage that may be cached. A line of FROM stands for its stage. */
export type FindNoCache = (stage: Stage, instruction: Instruction) => NoCache | undefined;

interface FilteredLine {
  readonly filter: string;
  readonly line: number;
}

const STEP_KINDS: ReadonlySet<Instruction['kind']> = new Set(['RUN', 'COPY', 'ADD', 'WORKDIR', 'FROM']);

/** Reads `--no-cache` and `--no-cache-filter`. Throws TSB_USAGE_NO_CACHE_FILTER for a line without a step. */
export function readNoCache(options: ConvertOptions, stages: readonly Stage[]): FindNoCache {
  if (options.noCache) return () => ({});
  if (options.noCacheStages.length === 0) return () => undefined;
  const names = new Map<string, NoCache>();
  const lines: FilteredLine[] = [];
  for (const text of options.noCacheStages) {
    const [, file, line] = /^(.+):(\d+)$/s.exec(text) ?? [];
    if (file === undefined) names.set(text.toLowerCase(), { filter: text });
    else {
      const place = { file, line: Number(line) };
      lines.push({ filter: text, line: checkedLine(text, place, options.file.name, stages) });
    }
  }
  const lineOf = (instruction: Instruction): NoCache | undefined => lines.find(({ line }) => covers(instruction, line));
  return (stage, instruction) => lineOf(instruction) ?? names.get(stage.name ?? '') ?? lineOf(stage.from);
}

interface Place {
  readonly file: string;
  readonly line: number;
}

function checkedLine(text: string, { file, line }: Place, name: string, stages: readonly Stage[]): number {
  if (baseName(file) !== baseName(name)) {
    throw filterError(`"${text}": the Dockerfile is ${name}`, `write ${name}:${line} for its line ${line}`);
  }
  const steps = stages
    .flatMap(({ from, instructions }) => [from, ...instructions])
    .filter(({ kind }) => STEP_KINDS.has(kind));
  if (steps.some((step) => covers(step, line))) return line;
  const next = steps.find(({ range }) => range.start.line > line);
  const hint = next === undefined ? 'the last step is above it' : `the next one is on line ${next.range.start.line}`;
  throw filterError(`"${text}": no step is on line ${line}`, hint);
}

function covers({ range }: Instruction, line: number): boolean {
  return range.start.line <= line && line <= lastLineOf(range);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function filterError(fact: string, hint: string): TsbuildError {
  return new TsbuildError('TSB_USAGE_NO_CACHE_FILTER', `invalid --no-cache-filter ${fact}`, { exitCode: 2, hint });
}
