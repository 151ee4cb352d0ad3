// Times as image configs have them: RFC 3339 in UTC, as Go's time.RFC3339Nano writes them.

/** `1700000000120` (ms since the epoch) is `2023-11-14T22:13:20.12Z`: no trailing zeros, no fraction at all for whole seconds. */
export function formatTimestamp(timeMs: number): string {
  const [seconds = '', fraction = ''] = new Date(timeMs).toISOString().slice(0, -1).split('.');
  const digits = fraction.replace(/0+$/, '');
  return `${seconds}${digits === '' ? '' : `.${digits}`}Z`;
}

/** To the second, as index.json has it; undefined when the text is no time. */
export function toWholeSeconds(timestamp: string): string | undefined {
  const timeMs = Date.parse(timestamp);
  return Number.isNaN(timeMs) ? undefined : formatTimestamp(Math.floor(timeMs / 1000) * 1000);
}
