// The slow, plain reading of ignore patterns, after moby's patternmatcher: every pattern is asked about a path and each of
// its parents, by backtracking, with nothing prepared.

/** Whether the patterns (clean, in order) exclude the path. */
export function isExcluded(patterns: readonly string[], path: string): boolean {
  let excluded = false;
  for (const pattern of patterns) {
    const glob = pattern.replace(/^!/, '');
    const parts = path.split('/');
    const candidates = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    if (candidates.some((candidate) => matches(glob, candidate))) excluded = !pattern.startsWith('!');
  }
  return excluded;
}

/** Two stars at the start before plain text compare ends, elsewhere they stand for nothing or for all up to a slash. */
function matches(glob: string, path: string): boolean {
  const rest = glob.slice(2);
  if (glob.startsWith('**') && rest !== '' && !/[*?[\]\\]/.test(rest)) {
    return path.endsWith(rest) || (rest.startsWith('/') && path === rest.slice(1));
  }
  return matchFrom(glob, path);
}

function matchFrom(glob: string, path: string): boolean {
  if (glob === '') return path === '';
  if (glob.startsWith('**')) {
    const rest = glob.slice(glob[2] === '/' ? 3 : 2);
    if (rest === '') return true;
    if (matchFrom(rest, path)) return true;
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      if (matchFrom(rest, path.slice(at + 1))) return true;
    }
    return false;
  }
  if (glob[0] === '*') {
    if (matchFrom(glob.slice(1), path)) return true;
    return path !== '' && path[0] !== '/' && matchFrom(glob, path.slice(1));
  }
  if (path === '') return false;
  if (glob[0] === '?') return path[0] !== '/' && matchFrom(glob.slice(1), path.slice(1));
  if (glob[0] === '[') {
    const end = glob.indexOf(']');
    const members = glob.slice(1, end);
    const isIn = members.startsWith('^') ? !members.slice(1).includes(path[0] ?? '') : members.includes(path[0] ?? '');
    return isIn && matchFrom(glob.slice(end + 1), path.slice(1));
  }
  return glob[0] === path[0] && matchFrom(glob.slice(1), path.slice(1));
}
