// Flags that may be repeated.

/** What commander makes of one more value of the flag. */
export function addToList(value: string, before: unknown): string[] {
  return Array.isArray(before) ? [...before, value] : [value];
}
