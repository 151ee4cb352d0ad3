// What the plain progress of a build says of its steps.

/** Steps that ran, by their instruction, with the reason shown. */
export function ran(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, number, step] of text.matchAll(/^#(\d+) \[[^\]]*\d\/\d+\] (.*)$/gm)) {
    if (step === undefined || step.startsWith('FROM ') || !text.includes(`\n#${number} DONE`)) continue;
    found[step] = new RegExp(`^#${number} why: (.*)$`, 'm').exec(text)?.[1] ?? 'no reason';
  }
  return found;
}
