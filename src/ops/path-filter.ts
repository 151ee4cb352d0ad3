// Include and exclude patterns during a walk: each directory hands its entries the patterns as far as they have matched.
import { createPatternMatcher, type IgnoreState } from '../../frontend/dockerignore.ts';

/** A directory of a walk, as the patterns see it. */
export interface DirectorySelection {
  /** The directory itself is wanted; what is below it may be wanted all the same when it is not. */
  readonly isSelected: boolean;
  /** The selection of a directory in this one. */
  enter(name: string): DirectorySelection;
  /** Whether an entry that is no directory is wanted. */
  selects(name: string): boolean;
}

interface PathPatterns {
  readonly includePatterns?: readonly string[];
  readonly excludePatterns?: readonly string[];
}

/** Where a walk begins: the source itself. Undefined without patterns: all is wanted. Throws TSB_DOCKERFILE_PATTERN. */
export function selectionOf({ includePatterns, excludePatterns }: PathPatterns): DirectorySelection | undefined {
  const include = rootOf(includePatterns);
  const exclude = rootOf(excludePatterns);
  return include === undefined && exclude === undefined ? undefined : selectionIn(include, exclude);
}

function rootOf(patterns: readonly string[] | undefined): IgnoreState | undefined {
  return patterns === undefined || patterns.length === 0 ? undefined : createPatternMatcher(patterns).root();
}

function selectionIn(include: IgnoreState | undefined, exclude: IgnoreState | undefined): DirectorySelection {
  return {
    // The pattern language is the ignore file's: what include patterns "exclude" is what they match.
    isSelected: include?.excluded !== false && exclude?.excluded !== true,
    enter: (name) => selectionIn(include?.enter(name), exclude?.enter(name)),
    selects: (name) => include?.excludes(name) !== false && exclude?.excludes(name) !== true,
  };
}
