// One line of `tsbuild doctor`.

/** One thing looked at; `fix` is absent when there is nothing to do. */
export interface Check {
  readonly name: string;
  /**
   * `warning`: builds work, but something is slower or refused. `limited`: builds work, but what they make can differ from
   * what they would make elsewhere. `blocked`: no build works.
   */
  readonly status: 'ok' | 'warning' | 'limited' | 'blocked';
  /** What was found; one sentence without a final stop. */
  readonly fact: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** Makes checks of one name. */
export function checkOf(name: string): {
  ok(fact: string): Check;
  warning(fact: string, fix: string): Check;
  limited(fact: string, fix: string): Check;
  blocked(fact: string, fix: string): Check;
} {
  return {
    ok: (fact) => ({ name, status: 'ok', fact }),
    warning: (fact, fix) => ({ name, status: 'warning', fact, fix }),
    limited: (fact, fix) => ({ name, status: 'limited', fact, fix }),
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
  return [...lines, verdictOf(checks), ''].join('\n');
}

function verdictOf(checks: readonly Check[]): string {
  const [blocked, limited] = (['blocked', 'limited'] as const).map((wanted) =>
    checks.filter(({ status }) => status === wanted).map(({ name }) => name),
  );
  if (blocked?.length) return `tsbuild cannot build here: ${blocked.join(', ')}`;
  if (limited?.length) return `tsbuild can build here, with less than a full result: ${limited.join(', ')}`;
  return 'tsbuild can build here';
}

/** 1 when something blocks, or makes results differ. */
export function exitCodeOfChecks(checks: readonly Check[]): number {
  return checks.some(({ status }) => status === 'blocked' || status === 'limited') ? 1 : 0;
}

/** The same for programs: one JSON object. */
export function checksJSON(checks: readonly Check[]): string {
  return `${JSON.stringify({ canBuild: checks.every(({ status }) => status !== 'blocked'), checks })}\n`;
}
