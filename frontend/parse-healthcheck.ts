// HEALTHCHECK: its kind, its command and its times.
import { parseDuration } from './duration.ts';
import { dockerfileError } from './errors.ts';
import type { FlagSpec, FlagValues } from './flags.ts';
import { quoteGo } from './go-text.ts';
import type { HealthcheckInstruction } from './instruction.ts';
import { atLeastOne, type InstructionDraft, toCommandLine } from './parse-draft.ts';

const FLAGS: FlagSpec = {
  interval: 'string',
  timeout: 'string',
  'start-period': 'string',
  'start-interval': 'string',
  retries: 'string',
};
const NO_TIMES = { intervalNs: 0, timeoutNs: 0, startPeriodNs: 0, startIntervalNs: 0, retries: 0 };
const MIN_NS = 1e6;
const MAX_INT32 = 2 ** 31 - 1;

/** Types a HEALTHCHECK. */
export function parseHealthcheck(draft: InstructionDraft): HealthcheckInstruction {
  atLeastOne(draft.args, 'HEALTHCHECK');
  const [written = '', ...args] = draft.args;
  const kind = written.toUpperCase();
  if (kind === 'NONE') {
    if (args.length > 0) throw dockerfileError('HEALTHCHECK', 'HEALTHCHECK NONE takes no arguments');
    return { kind: 'HEALTHCHECK', ...draft.base, command: undefined, ...NO_TIMES };
  }
  const flags = draft.flags(FLAGS);
  if (kind !== 'CMD') {
    const message = `Unknown type ${quoteGo(kind)} in HEALTHCHECK (try CMD)`;
    throw dockerfileError('HEALTHCHECK', message, { word: written });
  }
  if (args.length === 0) throw dockerfileError('HEALTHCHECK', 'Missing command after HEALTHCHECK CMD');
  return { kind: 'HEALTHCHECK', ...draft.base, command: toCommandLine(args, draft.isJSON), ...readTimes(flags) };
}

function readTimes(flags: FlagValues) {
  return {
    intervalNs: readInterval(flags, 'interval'),
    timeoutNs: readInterval(flags, 'timeout'),
    startPeriodNs: readInterval(flags, 'start-period'),
    startIntervalNs: readInterval(flags, 'start-interval'),
    retries: readRetries(flags.string('retries') ?? ''),
  };
}

function readInterval(flags: FlagValues, name: string): number {
  const text = flags.string(name) ?? '';
  const valueNs = text === '' ? 0 : parseDuration(text);
  if (valueNs === 0 || valueNs >= MIN_NS) return valueNs;
  throw dockerfileError('HEALTHCHECK', `Interval ${quoteGo(name)} cannot be less than 1ms`, {
    word: `--${name}=${text}`,
  });
}

function readRetries(text: string): number {
  if (text === '') return 0;
  const word = `--retries=${text}`;
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
  const problem = Number.isNaN(value) ? 'invalid syntax' : 'value out of range';
  if (Number.isNaN(value) || value > MAX_INT32 || value < -MAX_INT32 - 1) {
    throw dockerfileError('HEALTHCHECK', `strconv.ParseInt: parsing ${quoteGo(text)}: ${problem}`, { word });
  }
  if (value < 0) throw dockerfileError('HEALTHCHECK', `--retries cannot be negative (${value})`, { word });
  return value;
}
