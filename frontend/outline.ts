// What a target can be given: build args, secrets and ssh agents. And the list of targets. Both are read from the text
// alone: no image is looked up.
import type { SourceRange } from '../solver/errors.ts';
import { TsbuildError } from '../solver/errors.ts';
import type { Variables } from './args.ts';
import { buildArg, setVariable } from './args.ts';
import type { ConvertOptions } from './convert-options.ts';
import { ErrorCollector } from './error-collector.ts';
import type { ArgInstruction, Instruction, ParsedDockerfile } from './instruction.ts';
import { parseMount } from './run-mount.ts';
import { expandWord } from './shell-words.ts';
import type { Stage, StagePlan } from './stages.ts';
import { findStage, planStages, sourceNames } from './stages.ts';

interface OutlineArg {
  readonly name: string;
  readonly description: string;
  /** Empty when it has none. */
  readonly value: string;
  readonly range: SourceRange;
}

/** A secret or an ssh agent, by its id. */
export interface OutlineNeed {
  readonly name: string;
  readonly isRequired: boolean;
  readonly range: SourceRange;
}

/** What `--call=outline` shows of a target, stages it is built from included. */
export interface Outline {
  /** Empty for a target without a name. */
  readonly name: string;
  readonly description: string;
  /** In the order of the file, as all others. */
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineNeed[];
  readonly agents: readonly OutlineNeed[];
}

/** What `--call=targets` shows of a stage; texts are empty where the file says nothing. */
export interface TargetEntry {
  readonly name: string;
  readonly isDefault: boolean;
  readonly description: string;
  /** What its FROM names. */
  readonly base: string;
  readonly platform: string;
  readonly range: SourceRange;
}

/** Every stage of the file. Throws what is wrong with the stages. */
export function listTargets(parsed: ParsedDockerfile, options: ConvertOptions): readonly TargetEntry[] {
  const { stages } = plan(parsed, { ...options, target: undefined });
  return stages.map((stage, index) => ({
    name: stage.name ?? '',
    isDefault: index === stages.length - 1,
    description: stage.name === undefined ? '' : describe(stage.from, stage.name),
    base: baseName(stage),
    platform: stage.from.platform ?? '',
    range: stage.from.range,
  }));
}

/** What the target and all it needs ask for. Throws what is wrong with the stages, and TSB_DOCKERFILE_MOUNT. */
export function outlineTarget(parsed: ParsedDockerfile, options: ConvertOptions): Outline {
  const planned = plan(parsed, options);
  const { target } = planned;
  const stages = reachable(planned);
  const globals = usedGlobals(parsed, planned, stages);
  const own = stages.map((stage) =>
    stageNeeds(stage, stageVariables(stage, planned, options), planned, options, parsed),
  );
  const seen = new Set<string>();
  const args = [...own.flatMap((needs) => needs.args), ...globals].filter(({ name, range }) => {
    const key = `${name} ${range.start.line}`;
    return !seen.has(key) && seen.add(key);
  });
  return {
    name: target.name ?? '',
    description: target.name === undefined ? '' : describe(target.from, target.name),
    args: args.toSorted(byLine),
    secrets: merged(own.flatMap((needs) => needs.secrets)),
    agents: merged(own.flatMap((needs) => needs.agents)),
  };
}

function plan(parsed: ParsedDockerfile, options: ConvertOptions): StagePlan {
  const errors = new ErrorCollector();
  const planned = planStages(parsed, options, errors);
  errors.throwIfAny();
  return planned;
}

function baseName({ base }: Stage): string {
  switch (base.kind) {
    case 'scratch':
      return 'scratch';
    case 'stage':
      return base.stage.name ?? `stage-${base.stage.index}`;
    case 'image':
    case 'context':
      return base.name;
    default:
      return base;
  }
}

/** The stages that the target needs, itself last. */
function reachable({ stages, target }: StagePlan): readonly Stage[] {
  const found = new Set<Stage>();
  const visit = (stage: Stage): void => {
    if (found.has(stage)) return;
    if (stage.base.kind === 'stage') visit(stage.base.stage);
    for (const name of stage.instructions.flatMap(sourceNames)) {
      const source = findStage(stages, name);
      if (source !== undefined && source.index < stage.index) visit(source);
    }
    found.add(stage);
  };
  visit(target);
  return [...found];
}

/** The args before the first FROM that the stages' FROM lines need, and what their defaults need in turn. */
function usedGlobals(parsed: ParsedDockerfile, planned: StagePlan, stages: readonly Stage[]): readonly OutlineArg[] {
  const first = parsed.instructions.findIndex(({ kind }) => kind === 'FROM');
  const globals = parsed.instructions.slice(0, first).filter((one) => one.kind === 'ARG');
  const used = new Set<string>();
  const use = (text: string | undefined): void => {
    for (const name of namesIn(text ?? '', planned.globalArgs, parsed.escape)) {
      if (used.has(name)) continue;
      used.add(name);
      for (const { args } of globals) for (const arg of args) if (arg.key === name) use(arg.value);
    }
  };
  for (const { from } of stages) {
    use(from.image);
    use(from.platform);
  }
  return globals.flatMap((instruction) =>
    instruction.args
      .filter(({ key }) => used.has(key))
      .map(({ key }) => outlineArg(key, planned.globalArgs.get(key), instruction)),
  );
}

/** The variables that a text names, set or not. */
function namesIn(text: string, variables: Variables, escapeToken: '\\' | '`'): readonly string[] {
  const { used, unmatched } = expandWord(text, variables, { escape: escapeToken });
  return [...used, ...unmatched];
}

function outlineArg(name: string, value: string | undefined, instruction: ArgInstruction): OutlineArg {
  return { name, value: value ?? '', description: describe(instruction, name), range: instruction.range };
}

/** The text of the comment above that begins with the name. */
function describe({ comments }: Instruction, name: string): string {
  const comment = comments.findLast((line) => line.startsWith(`${name} `));
  return comment === undefined ? '' : comment.slice(name.length + 1).trim();
}

/** A stage begins with the variables of the stage it is based on, as far as the text tells them. */
function stageVariables(stage: Stage, planned: StagePlan, options: ConvertOptions): Variables {
  if (stage.base.kind !== 'stage') return new Map();
  let variables = stageVariables(stage.base.stage, planned, options);
  for (const one of stage.base.stage.instructions) variables = afterInstruction(variables, one, planned, options);
  return variables;
}

function afterInstruction(
  variables: Variables,
  instruction: Instruction,
  { globalArgs }: StagePlan,
  { buildArgs }: ConvertOptions,
): Variables {
  if (instruction.kind === 'ENV') {
    return instruction.pairs.reduce(
      (known, { key, value }) => setVariable(known, key, expandLoosely(value, variables)),
      variables,
    );
  }
  if (instruction.kind !== 'ARG') return variables;
  return instruction.args.reduce((known, { key, value }) => {
    const text = buildArg(buildArgs, key) ?? (value === undefined ? globalArgs.get(key) : expandLoosely(value, known));
    return text === undefined ? known : setVariable(known, key, text);
  }, variables);
}

function expandLoosely(text: string, variables: Variables): string {
  try {
    return expandWord(text, variables).value;
  } catch (error) {
    if (error instanceof TsbuildError) return text;
    throw error;
  }
}

interface StageNeeds {
  readonly args: readonly OutlineArg[];
  readonly secrets: readonly OutlineNeed[];
  readonly agents: readonly OutlineNeed[];
}

function stageNeeds(
  stage: Stage,
  start: Variables,
  planned: StagePlan,
  options: ConvertOptions,
  parsed: ParsedDockerfile,
): StageNeeds {
  const args: OutlineArg[] = [];
  const secrets: OutlineNeed[] = [];
  const agents: OutlineNeed[] = [];
  let variables = start;
  for (const instruction of stage.instructions) {
    variables = afterInstruction(variables, instruction, planned, options);
    if (instruction.kind === 'ARG') {
      for (const { key } of instruction.args) args.push(outlineArg(key, variables.get(key), instruction));
    }
    if (instruction.kind !== 'RUN') continue;
    for (const text of instruction.mounts) {
      const known = variables;
      const mount = parseMount(text, (value) => expandWord(value, known, { escape: parsed.escape }).value);
      const name = mount.cacheID ?? mount.source ?? mount.target?.split('/').at(-1) ?? '';
      const need = { name, isRequired: mount.required, range: instruction.range };
      if (mount.type === 'secret') secrets.push(need);
      if (mount.type === 'ssh') agents.push({ ...need, name: mount.cacheID ?? 'default' });
    }
  }
  return { args, secrets, agents };
}

/** Each id once, at its first line; required when any mount requires it. */
function merged(needs: readonly OutlineNeed[]): readonly OutlineNeed[] {
  const byName = new Map<string, OutlineNeed>();
  for (const need of needs.toSorted(byLine)) {
    const known = byName.get(need.name);
    byName.set(need.name, { ...(known ?? need), isRequired: need.isRequired || known?.isRequired === true });
  }
  return [...byName.values()];
}

function byLine(left: { readonly range: SourceRange }, right: { readonly range: SourceRange }): number {
  return left.range.start.line - right.range.start.line;
}
