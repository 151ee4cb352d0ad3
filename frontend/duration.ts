// Durations as Go writes them, such as `1m30s`: the form of HEALTHCHECK's flags.
import { dockerfileError } from './errors.ts';
import { quoteGo } from './go-text.ts';

const UNIT_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  '\u00b5s': 1e3,
  '\u03bcs': 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};
const PART = /^(\d*)(\.\d*)?([^\d.]*)/;
const MAX_NS = 2 ** 63;

/** Nanoseconds; throws TSB_DOCKERFILE_DURATION with the text of Go's `time.ParseDuration`. */
export function parseDuration(text: string): number {
  const sign = text.startsWith('-') ? -1 : 1;
  let rest = text.replace(/^[-+]/, '');
  if (rest === '0') return 0;
  if (rest === '') throw invalid(text);
  let totalNs = 0;
  while (rest !== '') {
    const [part = '', whole = '', fraction = '', unit = ''] = PART.exec(rest) ?? [];
    if (whole === '' && fraction.length < 2) throw invalid(text);
    if (unit === '') throw dockerfileError('DURATION', `time: missing unit in duration ${quoteGo(text)}`);
    const unitNs = UNIT_NS[unit];
    if (unitNs === undefined) {
      throw dockerfileError('DURATION', `time: unknown unit ${quoteGo(unit)} in duration ${quoteGo(text)}`);
    }
    totalNs += Number(whole) * unitNs + Math.trunc(Number(`0${fraction}0`) * unitNs);
    rest = rest.slice(part.length);
  }
  if (!(totalNs < MAX_NS)) throw invalid(text);
  return sign * totalNs;
}

function invalid(text: string): Error {
  return dockerfileError('DURATION', `time: invalid duration ${quoteGo(text)}`);
}
