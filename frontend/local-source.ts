// Source ops of the user's directories: the build context and named contexts of kind local.
import { encodeGoJSON } from '../solver/go-json.ts';
import type { SourceOp } from '../solver/op.ts';
import { singleCopy } from '../solver/single-copy.ts';
import { LOCAL_SCHEME } from '../solver/source-schemes.ts';
import type { ContextPaths } from './context-paths.ts';
import type { NamedContext } from './convert-options.ts';
import type { SourceTree } from './convert-scope.ts';
import type { Tree } from './draft.ts';
import { remoteTree } from './remote-context.ts';
import { LOAD_CONTEXT_NAME } from './step-name.ts';

/** The name the main build context has among local sources. */
const BUILD_CONTEXT = 'context';

/** The build context. Which paths it is asked for is read when the definition is finished. */
export function buildContextTree(paths: ContextPaths, excludePatterns: readonly string[]): SourceTree {
  return localTree({ name: BUILD_CONTEXT, hint: BUILD_CONTEXT, shownAs: LOAD_CONTEXT_NAME, paths, excludePatterns });
}

/** A named context that has files only, and no config. */
export type PlainContext = Exclude<NamedContext, { readonly kind: 'image' | 'stage' }>;

/** The tree of nothing. */
export const EMPTY_SOURCE: SourceTree = { tree: undefined, needPath: () => undefined };

/** The files of a named context. */
export function plainContextTree(name: string, context: PlainContext, paths: ContextPaths): SourceTree {
  switch (context.kind) {
    case 'scratch':
      return EMPTY_SOURCE;
    case 'remote':
      return remoteTree(context.remote);
    case 'local':
      return namedContextTree(name, paths, context.excludePatterns ?? []);
    default:
      return context;
  }
}

/** What a stage is built upon that starts from a directory: its files as a layer. */
export function layerOfDirectory(name: string, directory: Tree): Tree {
  return {
    sources: [directory],
    options: { name: `[context ${name}] copy / /` },
    createOp: () => COPY_ALL,
  };
}

const COPY_ALL = singleCopy({ src: '/', dest: '/', dirCopyContents: true, createDestPath: true });

/** A directory given with `--build-context name=dir`. */
function namedContextTree(name: string, paths: ContextPaths, excludePatterns: readonly string[]): SourceTree {
  return localTree({
    name,
    hint: `context:${name}`,
    shownAs: `[context ${name}] load from client`,
    paths,
    excludePatterns,
  });
}

interface LocalTreeOptions {
  readonly name: string;
  readonly hint: string;
  readonly shownAs: string;
  readonly paths: ContextPaths;
  readonly excludePatterns: readonly string[];
}

function localTree(options: LocalTreeOptions): SourceTree {
  const { name, shownAs, paths } = options;
  return {
    tree: { sources: [], options: { name: shownAs }, createOp: () => localSource(options) },
    needPath: (path) => paths.add(name, path),
  };
}

function localSource({ name, hint, paths, excludePatterns }: LocalTreeOptions): SourceOp {
  const followPaths = paths.paths(name);
  return {
    kind: 'source',
    identifier: `${LOCAL_SCHEME}${name}`,
    attrs: {
      'local.sharedkeyhint': hint,
      ...(excludePatterns.length > 0 && { 'local.excludepatterns': encodeGoJSON(excludePatterns) }),
      ...(followPaths !== undefined && { 'local.followpaths': encodeGoJSON(followPaths) }),
    },
  };
}
