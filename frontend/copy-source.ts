// The sources of a COPY or ADD, one after the other: paths of a tree, URLs, repositories, inline documents.
import { hasWildcard } from '../solver/content-selector.ts';
import type { SourceRange } from '../solver/errors.ts';
import type { CopyAction, SourceOp } from '../solver/op.ts';
import type { Draft, Tree } from './draft.ts';
import { dockerfileError } from './errors.ts';
import type { GitUrl } from './git-url.ts';
import { parseGitUrl } from './git-url.ts';
import { absolutePath } from './image-path.ts';
import { inlineDocument } from './inline-document.ts';
import type { AddInstruction, CopyInstruction } from './instruction.ts';
import { fileNameOf, gitSource, httpSource, isHttpUrl } from './remote-source.ts';

/** A COPY or ADD with its variables filled in. */
export interface ExpandedCopy {
  readonly instruction: CopyInstruction | AddInstruction;
  readonly sources: readonly string[];
  readonly documents: readonly { readonly name: string; readonly body: string }[];
  readonly dest: string;
  readonly chown: string;
  readonly chmod: string;
  readonly checksum: string | undefined;
}

/** What one copy action reads. */
export interface CopySource {
  readonly tree: Tree;
  readonly src: string;
  /** True for a path of the tree that is copied from. */
  readonly isLocal: boolean;
  readonly flags: Partial<CopyAction>;
}

interface CopySourcesOptions {
  /** What paths are taken from. */
  readonly tree: Tree;
  /** Shown while something is fetched. */
  readonly stepName: string;
  readonly range: SourceRange;
}

const DOCUMENT_MODE = 0o644;

/** In the order of the actions: the paths and URLs as written, then the documents. */
export function copySources(copy: ExpandedCopy, options: CopySourcesOptions): readonly CopySource[] {
  checkChecksum(copy);
  return [
    ...copy.sources.map((source) => copySource(source, copy, options)),
    ...copy.documents.map(({ name, body }) => ({
      tree: inlineDocument(name, body, DOCUMENT_MODE),
      src: `/${name}`,
      isLocal: false,
      flags: {},
    })),
  ];
}

function copySource(source: string, copy: ExpandedCopy, options: CopySourcesOptions): CopySource {
  const git = parseGitUrl(source);
  if (git !== undefined) return gitCopySource(git, copy, options);
  if (isHttpUrl(source)) return httpCopySource(source, copy, options);
  return localCopySource(source, copy, options.tree);
}

function localCopySource(source: string, copy: ExpandedCopy, tree: Tree): CopySource {
  const { instruction } = copy;
  const unpack = instruction.kind === 'ADD' && (instruction.unpack ?? true);
  const isParents = instruction.kind === 'COPY' && instruction.parents;
  const { src, ...parents } = isParents ? parentsPattern(source) : { src: absolutePath('/', source) };
  return {
    tree,
    src,
    isLocal: true,
    flags: {
      followSymlink: true,
      dirCopyContents: true,
      ...(unpack && { attemptUnpack: true }),
      allowWildcard: true,
      allowEmptyWildcard: true,
      ...parents,
    },
  };
}

/** `--parents` copies a pattern below a directory: the root, or what is left of `/./`. */
function parentsPattern(source: string): Pick<CopyAction, 'src' | 'includePatterns' | 'requiredPaths'> {
  const pivot = source.indexOf('/./');
  const directory = pivot < 0 ? '/' : source.slice(0, pivot);
  const pattern = absolutePath('/', pivot < 0 ? source : source.slice(pivot + '/./'.length));
  const isRequired = !hasWildcard(directory) && !hasWildcard(pattern);
  return {
    src: absolutePath('/', directory),
    includePatterns: [pattern.slice(1)],
    ...(isRequired && { requiredPaths: [absolutePath('/', `${directory}/${pattern}`)] }),
  };
}

function httpCopySource(url: string, copy: ExpandedCopy, options: CopySourcesOptions): CopySource {
  const { instruction } = copy;
  if (instruction.kind === 'COPY') throw noRemoteCopy("source can't be a URL for COPY");
  return {
    tree: sourceDraft(httpSource(url, copy.checksum), options),
    src: absolutePath('/', fileNameOf(url)),
    isLocal: false,
    flags: instruction.unpack === true ? { attemptUnpack: true } : {},
  };
}

function gitCopySource(url: GitUrl, copy: ExpandedCopy, options: CopySourcesOptions): CopySource {
  const { instruction, checksum } = copy;
  if (instruction.kind === 'COPY') throw noRemoteCopy("source can't be a git ref for COPY");
  const op = gitSource(url, { checksum, keepGitDir: instruction.keepGitDir });
  return { tree: sourceDraft(op, options), src: '/', isLocal: false, flags: {} };
}

function sourceDraft(op: SourceOp, { stepName, range }: CopySourcesOptions): Draft {
  return { sources: [], createOp: () => op, options: { name: stepName, range } };
}

function noRemoteCopy(message: string): Error {
  return dockerfileError('COPY_REMOTE', message, { hint: 'use ADD to fetch it' });
}

function checkChecksum(copy: ExpandedCopy): void {
  if (copy.checksum === undefined) return;
  const [source, ...others] = copy.sources;
  if (source === undefined || others.length > 0) {
    throw dockerfileError('CHECKSUM_MISPLACED', "checksum can't be specified for multiple sources");
  }
  if (isHttpUrl(source) || parseGitUrl(source) !== undefined) return;
  throw dockerfileError('CHECKSUM_MISPLACED', 'checksum requires HTTP(S) or Git sources');
}
