// The few of Go's value formats that image histories are written in.
// https://pkg.go.dev/fmt and https://pkg.go.dev/time#Duration.String
import { quoteGo } from './go-text.ts';

/** A list of texts as Go's `%v` prints it: `[a b]`. */
export function formatList(items: readonly string[]): string {
  return `[${items.join(' ')}]`;
}

/** A list of texts as Go's `%q` prints it: `["a" "b"]`. */
export function quoteList(items: readonly string[]): string {
  return `[${items.map(quoteGo).join(' ')}]`;
}

/** A duration in ns as Go prints it: `1m0s`, `1.5s`, `300ms`, `0s`. */
export function formatDuration(durationNs: number): string {
  if (durationNs === 0) return '0s';
  if (durationNs < 0) return `-${formatDuration(-durationNs)}`;
  const unit = SMALL_UNITS.find(({ below }) => durationNs < below);
  if (unit !== undefined) return `${trimFraction(durationNs / unit.size, unit.decimals)}${unit.name}`;
  const minutes = Math.floor(durationNs / NS_PER_MINUTE);
  const seconds = trimFraction((durationNs - minutes * NS_PER_MINUTE) / NS_PER_SECOND, 9);
  if (minutes === 0) return `${seconds}s`;
  const hours = Math.floor(minutes / 60);
  return hours === 0 ? `${minutes}m${seconds}s` : `${hours}h${minutes % 60}m${seconds}s`;
}

const NS_PER_SECOND = 1e9;
const NS_PER_MINUTE = 60 * NS_PER_SECOND;

const SMALL_UNITS = [
  { below: 1e3, size: 1, name: 'ns', decimals: 0 },
  { below: 1e6, size: 1e3, name: 'µs', decimals: 3 },
  { below: NS_PER_SECOND, size: 1e6, name: 'ms', decimals: 6 },
] as const;

function trimFraction(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
