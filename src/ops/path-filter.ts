// Include, exclude and ignore patterns applied during a walk: each directory's match state is passed down to its entries,
// as moby/patternmatcher does with MatchesUsingParentResults.
export interface PathFilterState {
  readonly matched: readonly boolean[];
}
export interface PathFilterStep {
  readonly isMatch: boolean;
  readonly state: PathFilterState;
}
export interface PathFilter {
  /** `path` is relative, without a leading slash; `parent` is the state of the directory that holds it. */
  step(path: string, parent: PathFilterState | undefined): PathFilterStep;
  /** True when something below a matched directory may be un-matched by a `!` pattern. */
  mayUnmatchBelow(directory: string): boolean;
}

/** Undefined without patterns. */
export function createPathFilter(patterns: readonly string[] | undefined): PathFilter | undefined {
  if (patterns === undefined || patterns.length === 0) return undefined;
  const compiled = patterns.map((p) => {
    const isNegated = p.startsWith('!');
    return { isNegated, regexp: compile((isNegated ? p.slice(1) : p).replace(/^\.?\//, '').replace(/\/$/, '')) };
  });
  return {
    step(path, parent) {
      let isMatch = false;
      const matched = compiled.map(({ isNegated, regexp }, i) => {
        const m = parent?.matched[i] === true || regexp.test(path);
        if (m) isMatch = !isNegated;
        return m;
      });
      return { isMatch, state: { matched } };
    },
    mayUnmatchBelow: () => compiled.some((c) => c.isNegated),
  };
}

function compile(p: string): RegExp {
  let s = '';
  for (let i = 0; i < p.length; i++) {
    const c = p[i] ?? '';
    if (c === '*') {
      if (p[i + 1] === '*') {
        i++;
        if (p[i + 1] === '/') i++;
        s += i + 1 >= p.length ? '.*' : '(.*/)?';
      } else s += '[^/]*';
    } else if (c === '?') s += '[^/]';
    else if (c === '\\') s += `\\${p[++i] ?? ''}`;
    else if ('.$+(){}|^'.includes(c)) s += `\\${c}`;
    else s += c;
  }
  return new RegExp(`^${s}$`, 's');
}
