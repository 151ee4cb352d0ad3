// The cache map of a file op (COPY, ADD, WORKDIR, heredocs), as BuildKit's solver/llbsolver/ops/file.go defines it.
import { compareBytes, deduplicateSelectors, hasWildcard } from './content-selector.ts';
import { type Digest, digestOf } from './digest.ts';
import { timestampNs } from './encode.ts';
import { unreachable } from './errors.ts';
import { encodeGoJSON, type GoJSONStruct, omitZero } from './go-json.ts';
import type { Chown, CopyAction, FileAction, FileOp, UserRef } from './op.ts';
import type { CacheMap, CacheMapInput, ContentSelector } from './op-runner.ts';

/** See `cacheMapOf`. */
export function fileCacheMap(op: FileOp, inputCount: number): CacheMap {
  const inputs = Array.from({ length: inputCount }, (_, index) => mapInput(op.actions, index));
  return { digest: fileDigest(op.actions, inputCount), inputs };
}

function fileDigest(actions: readonly FileAction[], inputCount: number): Digest {
  const indexes = actions.map((action) => [action.input, action.secondaryInput, action.output]);
  return digestOf(
    encodeGoJSON({
      Type: 'buildkit.file.v0',
      Actions: actions.map((action) => Buffer.from(encodeGoJSON(actionJSON(action, inputCount)))),
      indexes: isDefaultChain(actions) ? undefined : omitZero(indexes),
    }),
  );
}

/** The wiring that old records did not write down: every action on the one before, reading from input 1 or from none. */
function isDefaultChain(actions: readonly FileAction[]): boolean {
  return actions.every((action, index) => {
    // BuildKit counts actions here, not inputs: three sources of one COPY are already no default chain.
    const input = index === 0 ? 0 : actions.length + index - 1;
    const output = index === actions.length - 1 ? 0 : -1;
    const readsDefault = action.secondaryInput === 1 || action.secondaryInput === -1;
    return action.input === input && action.output === output && readsDefault;
  });
}

function actionJSON(action: FileAction, inputCount: number): GoJSONStruct {
  const head = 'path' in action ? { path: omitZero(action.path) } : {};
  const timestamp = action.action === 'mkdir' ? timestampNs(action.timestampMs) : -1;
  const end = { owner: 'owner' in action ? chownJSON(action.owner) : undefined, timestamp };
  switch (action.action) {
    case 'copy':
      return copyJSON(action, readsInput(action, inputCount));
    case 'mkfile':
      return { ...head, mode: omitZero(action.mode), data: action.data.length ? action.data : undefined, ...end };
    case 'mkdir':
      return { ...head, mode: omitZero(action.mode), makeParents: omitZero(action.makeParents), ...end };
    case 'rm':
      return {
        ...head,
        allowNotFound: omitZero(action.allowNotFound),
        allowWildcard: omitZero(action.allowWildcard),
      };
    default:
      return unreachable(action);
  }
}

function readsInput(action: FileAction, inputCount: number): boolean {
  return action.secondaryInput >= 0 && action.secondaryInput < inputCount;
}

/** Where a source lies does not count, only its name: what it holds is the content key's part. */
function copyJSON(copy: CopyAction, isFromInput: boolean): GoJSONStruct {
  return {
    src: omitZero(isFromInput ? baseName(copy.src) : copy.src),
    dest: omitZero(copy.dest),
    owner: chownJSON(copy.owner),
    mode: copy.modeStr ? undefined : omitZero(copy.mode),
    followSymlink: omitZero(copy.followSymlink),
    dirCopyContents: omitZero(copy.dirCopyContents),
    attemptUnpackDockerCompatibility: omitZero(copy.attemptUnpack),
    createDestPath: omitZero(copy.createDestPath),
    allowWildcard: omitZero(copy.allowWildcard),
    allowEmptyWildcard: omitZero(copy.allowEmptyWildcard),
    timestamp: -1,
    include_patterns: omitZero(copy.includePatterns),
    exclude_patterns: omitZero(copy.excludePatterns),
    alwaysReplaceExistingDestPaths: omitZero(copy.alwaysReplaceExistingDestPaths),
    modeStr: omitZero(copy.modeStr),
    required_paths: omitZero(copy.requiredPaths),
  };
}

/** As Go's path.Base: without trailing slashes, `.` for nothing and `/` for the root. */
function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '');
  if (trimmed === '') return path === '' ? '.' : '/';
  return trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

function chownJSON(chown: Chown | undefined): GoJSONStruct | undefined {
  return chown && { user: chown.user && userJSON(chown.user), group: chown.group && userJSON(chown.group) };
}

function userJSON(user: UserRef): GoJSONStruct {
  if ('id' in user) return { User: { byId: omitZero(user.id) } };
  return { User: { byName: { name: omitZero(user.name), input: omitZero(user.input) } } };
}

function mapInput(actions: readonly FileAction[], index: number): CacheMapInput {
  // An input that is written onto passes all of its files on, so it counts by definition only.
  if (actions.some((action) => action.input === index)) return {};
  const selectors = actions.flatMap((action) => selectorsOf(action, index));
  if (selectors.length === 0) return {};
  const paths = selectors.map((selector) => selector.path).sort((a, b) => compareBytes(b, a));
  return { selector: digestOf(paths.join('\0')), contentSelectors: deduplicateSelectors(selectors) };
}

function selectorsOf(action: FileAction, index: number): readonly ContentSelector[] {
  const owner = 'owner' in action ? action.owner : undefined;
  const names = [
    ...(namesIn(owner?.user, index) ? ['/etc/passwd'] : []),
    ...(namesIn(owner?.group, index) ? ['/etc/group'] : []),
  ].map((path) => ({ path, wildcard: false, followLinks: true }));
  return action.action === 'copy' && action.secondaryInput === index ? [...names, copySelector(action)] : names;
}

function namesIn(user: UserRef | undefined, index: number): boolean {
  return user !== undefined && 'name' in user && user.input === index;
}

function copySelector(copy: CopyAction): ContentSelector {
  return {
    path: copy.src,
    wildcard: copy.allowWildcard === true && hasWildcard(copy.src),
    followLinks: copy.followSymlink === true,
    ...(copy.includePatterns?.length && { includePatterns: copy.includePatterns }),
    ...(copy.excludePatterns?.length && { excludePatterns: copy.excludePatterns }),
    ...(copy.requiredPaths?.length && { requiredPaths: copy.requiredPaths }),
  };
}
