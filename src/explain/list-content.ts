// The paths of a result that a step's key covers: exactly those whose digests went into it.
import { type Digest, digestOf } from '../../solver/digest.ts';
import type { ContentSelector } from '../../solver/op-runner.ts';
import { contentDigestOf } from '../ops/content-hash.ts';
import type { SourceDigests } from '../ops/source-digests.ts';
import type { FileNode } from '../snapshot/file-tree.ts';
import { atOnce, type Slices } from '../sys/turns.ts';
import type { ListedContent } from './explainer.ts';
import { listPaths } from './path-list.ts';

/** Files read again to tell a change of mode from one of bytes as well; of more, equal sizes will do. */
const MOST_READS = 200;

/** See ListedContent. */
export function listContent(source: SourceDigests, selectors: readonly ContentSelector[]): ListedContent {
  const nodes = new Map<string, { readonly node: FileNode; readonly digest: string }>();
  const digestFile = function* (node: FileNode): Slices<Digest> {
    const digest = yield* source.inSlices(node);
    nodes.set(node.path, { node, digest });
    return digest;
  };
  atOnce(contentDigestOf(source.tree, selectors, digestFile));
  for (const { path, followLinks, wildcard } of selectors) {
    // What a link leads to is digested, where it leads is not; but it is the reason.
    const node = followLinks && !wildcard ? source.tree.lookup(path) : undefined;
    if (node?.type === 'symlink') nodes.set(node.path, { node, digest: digestOf(node.linkTarget) });
  }
  let reads = 0;
  return {
    entries: listPaths(source.tree, [...nodes.values()]),
    hasSameBytes: (old) => {
      const found = nodes.get(old.path);
      reads += 1;
      if (found === undefined) return false;
      return reads > MOST_READS || source.digestUnder(found.node, old).startsWith(`sha256:${old.digest}`);
    },
  };
}
