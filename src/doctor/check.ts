// One line of `tsbuild doctor`.

export interface Check {
  readonly name: string;
  /** `warning`: builds work, but something is slower, less or refused. `blocked`: no build works. */
  readonly status: 'ok' | 'warning' | 'blocked';
  /** What was found; one sentence without a final stop. */
  readonly fact: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** Makes checks of one name. */
export function checkOf(name: string): {
  ok(fact: string): Check;
  warning(fact: string, fix: string): Check;
  blocked(fact: string, fix: string): Check;
} {
  return {
    ok: (fact) => ({ name, status: 'ok', fact }),
    warning: (fact, fix) => ({ name, status: 'warning', fact, fix }),
    blocked: (fact, fix) => ({ name, status: 'blocked', fact, fix }),
  };
}

/** The report for a terminal, ending in a newline. */
export function renderChecks(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, status, fact, fix }) => [
    `${status.padEnd(8)} ${name.padEnd(width)}  ${fact}`,
    ...(fix === undefined ? [] : [`${' '.repeat(width + 11)}fix: ${fix}`]),
  ]);
  const blocked = checks.filter(({ status }) => status === 'blocked').map(({ name }) => name);
  const verdict = blocked.length === 0 ? 'tsbuild can build here' : `tsbuild cannot build here: ${blocked.join(', ')}`;
  return [...lines, verdict, ''].join('\n');
}

/** The same for programs: one JSON object. */
export function checksJSON(checks: readonly Check[]): string {
  return `${JSON.stringify({ canBuild: checks.every(({ status }) => status !== 'blocked'), checks })}\n`;
}
