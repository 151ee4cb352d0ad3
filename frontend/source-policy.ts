// Source policies: rules of the user's that allow, deny or convert what a build takes from outside, as BuildKit's
// sourcepolicy package reads them.
import { TsbuildError } from '../solver/errors.ts';
import type { SourceOp } from '../solver/op.ts';

/** The rules of one file; the order of rules and of files counts. */
export interface SourcePolicy {
  readonly rules: readonly PolicyRule[];
}

interface PolicyRule {
  readonly action: Action;
  readonly selector: PolicySelector;
  readonly updates?: { readonly identifier: string; readonly attrs: Readonly<Record<string, string>> };
}

interface PolicySelector {
  readonly identifier: string;
  /** Undefined for one that is compared as it is. */
  readonly pattern: RegExp | undefined;
  readonly constraints: readonly AttrConstraint[];
}

interface AttrConstraint {
  readonly key: string;
  readonly value: string;
  readonly condition: Condition;
}

const ACTIONS = ['ALLOW', 'DENY', 'CONVERT'] as const;
const MATCH_TYPES = ['WILDCARD', 'EXACT', 'REGEX'] as const;
const CONDITIONS = ['EQUAL', 'NOTEQUAL', 'MATCHES'] as const;
type Action = (typeof ACTIONS)[number];
type Condition = (typeof CONDITIONS)[number];

const MAX_CONVERSIONS = 20;

/** The source as the policies have it. Throws TSB_POLICY_DENIED, TSB_POLICY_LOOP. */
export function applyPolicies(policies: readonly SourcePolicy[], op: SourceOp): SourceOp {
  let current = op;
  for (let count = 0; count <= MAX_CONVERSIONS; count++) {
    const converted = convertOnce(policies, current);
    if (converted === undefined) return current;
    current = converted;
  }
  throw new TsbuildError('TSB_POLICY_LOOP', 'too many mutations on a single source: too many operations', {
    hint: `rules of the source policy convert ${current.identifier} in a ring`,
  });
}

/** The first conversion that changes something; what a policy denies is known once none of its own does. */
function convertOnce(policies: readonly SourcePolicy[], op: SourceOp): SourceOp | undefined {
  for (const { rules } of policies) {
    let isDenied = false;
    for (const rule of rules.filter(({ selector }) => matches(selector, op))) {
      if (rule.action !== 'CONVERT') {
        isDenied = rule.action === 'DENY';
        continue;
      }
      const converted = convert(rule, op);
      if (converted !== undefined) return converted;
    }
    if (isDenied) throw denied(op);
  }
  return undefined;
}

function denied({ identifier }: SourceOp): TsbuildError {
  return new TsbuildError(
    'TSB_POLICY_DENIED',
    `source ${JSON.stringify(identifier)} denied by policy: source denied by policy`,
    { hint: 'the last rule of the source policy that matches decides' },
  );
}

function matches({ identifier, pattern, constraints }: PolicySelector, op: SourceOp): boolean {
  if (!constraints.every((constraint) => holds(constraint, op.attrs))) return false;
  return identifier === op.identifier || pattern?.test(op.identifier) === true;
}

function holds({ key, value, condition }: AttrConstraint, attrs: SourceOp['attrs']): boolean {
  const found = attrs[key] ?? '';
  if (condition === 'MATCHES') return new RegExp(value).test(found);
  return (found === value) === (condition === 'EQUAL');
}

function convert({ selector, updates }: PolicyRule, op: SourceOp): SourceOp | undefined {
  const { identifier: template = '', attrs = {} } = updates ?? {};
  const identifier = template === '' ? op.identifier : fillIn(template, selector, op.identifier);
  const changed = Object.entries(attrs).some(([key, value]) => op.attrs[key] !== value);
  if (identifier === op.identifier && !changed) return undefined;
  return { ...op, identifier, attrs: { ...op.attrs, ...attrs } };
}

/** `${1}` and `$1` stand for what the first `*` or group has matched. */
function fillIn(template: string, { pattern }: PolicySelector, identifier: string): string {
  const match = pattern?.exec(identifier);
  if (pattern === undefined || match === null || match === undefined) return template;
  const filled = template.replace(/\$(?:\$|\{(\w+)\}|(\w+))/g, (text, braced?: string, bare?: string) => {
    if (text === '$$') return '$';
    const name = braced ?? bare ?? '';
    return (/^\d+$/.test(name) ? match[Number(name)] : match.groups?.[name]) ?? '';
  });
  return identifier.slice(0, match.index) + filled + identifier.slice(match.index + match[0].length);
}

/** Reads the JSON form of one policy, or of a list of them. Throws TSB_POLICY_INVALID. */
export function parseSourcePolicies(text: string): readonly SourcePolicy[] {
  const json = readJSON(text);
  return (Array.isArray(json) ? json : [json]).map((one) => ({
    rules: listOf(fieldsOf(one, 'a policy')['rules'], 'rules').map(readRule),
  }));
}

function readRule(json: unknown): PolicyRule {
  const { action, selector, updates } = fieldsOf(json, 'a rule');
  const fields = fieldsOf(selector, 'the selector of a rule');
  const identifier = textOf(fields['identifier'], 'identifier');
  const type = oneOf(MATCH_TYPES, fields['match_type'] ?? fields['matchType'], 'match_type');
  const rule = {
    action: oneOf(ACTIONS, action, 'action'),
    selector: {
      identifier,
      pattern: patternOf(identifier, type),
      constraints: listOf(fields['constraints'], 'constraints').map(readConstraint),
    },
  };
  if (updates === undefined) {
    if (rule.action === 'CONVERT') throw invalid('a CONVERT rule has no updates');
    return rule;
  }
  const { identifier: target, attrs } = fieldsOf(updates, 'the updates of a rule');
  const values = Object.entries(attrs === undefined ? {} : fieldsOf(attrs, 'attrs'));
  return {
    ...rule,
    updates: {
      identifier: target === undefined ? '' : textOf(target, 'identifier'),
      attrs: Object.fromEntries(values.map(([key, value]) => [key, textOf(value, key)])),
    },
  };
}

function readConstraint(json: unknown): AttrConstraint {
  const { key, value, condition } = fieldsOf(json, 'a constraint');
  const read = { key: textOf(key, 'key'), value: textOf(value ?? '', 'value') };
  const kind = oneOf(CONDITIONS, condition, 'condition');
  if (kind === 'MATCHES') regularExpression(read.value);
  return { ...read, condition: kind };
}

function patternOf(identifier: string, type: (typeof MATCH_TYPES)[number]): RegExp | undefined {
  if (type === 'EXACT') return undefined;
  if (type === 'REGEX') return regularExpression(identifier);
  if (identifier.includes('**'))
    throw invalid(`failed to translate wildcard "${identifier}" to regexp: invalid wildcard: "**"`);
  const parts = identifier.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'));
  return new RegExp(`^${parts.join('(.*)')}$`);
}

function regularExpression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw invalid(`invalid regex "${text}"`, cause);
  }
}

function readJSON(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : 'it is no JSON', cause);
  }
}

function fieldsOf(json: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Record<string, unknown>;
  throw invalid(`${what} is no object`);
}

function listOf(json: unknown, what: string): readonly unknown[] {
  if (json === undefined || json === null) return [];
  if (Array.isArray(json)) return json;
  throw invalid(`"${what}" is no list`);
}

function textOf(json: unknown, what: string): string {
  if (typeof json === 'string') return json;
  throw invalid(`"${what}" is no text`);
}

/** By its name or number, the first when left out, as in protobuf's JSON. */
function oneOf<T extends string>(names: readonly [T, ...T[]], json: unknown, what: string): T {
  if (json === undefined) return names[0];
  const found = typeof json === 'number' ? names[json] : names.find((name) => name === json);
  if (found !== undefined) return found;
  throw invalid(`invalid ${what} value: ${JSON.stringify(json)}`);
}

function invalid(reason: string, cause?: unknown): TsbuildError {
  return new TsbuildError('TSB_POLICY_INVALID', `failed to parse source policy: ${reason}`, {
    exitCode: 2,
    ...(cause !== undefined && { cause }),
  });
}
