// What an op is worth to BuildKit's cache: its digest, and how each input counts. Pure functions of the op, equal byte
// for byte to what BuildKit computes, so that records can be exchanged with it in both directions.
import { type Digest, digestOf } from './digest.ts';
import { unreachable } from './errors.ts';
import { execCacheMap } from './exec-cache-map.ts';
import { fileCacheMap } from './file-cache-map.ts';
import { encodeGoJSON, omitZero } from './go-json.ts';
import type { DiffOp, ExecOp, FileOp, MergeOp, Platform } from './op.ts';
import type { CacheMap, CacheMapInput } from './op-runner.ts';

/**
 * The cache map of any op but a source (see source-key.ts). `inputCount` is the number of the vertex's inputs;
 * `defaultPlatform` stands in for an exec op without one.
 */
export function cacheMapOf(
  op: ExecOp | FileOp | MergeOp | DiffOp,
  inputCount: number,
  defaultPlatform: Platform,
): CacheMap {
  switch (op.kind) {
    case 'exec':
      return execCacheMap(op, inputCount, defaultPlatform);
    case 'file':
      return fileCacheMap(op, inputCount);
    case 'merge':
      return { digest: mergeDigest(op), inputs: byDefinition(inputCount) };
    case 'diff':
      return { digest: diffDigest(op), inputs: byDefinition(inputCount) };
    default:
      return unreachable(op);
  }
}

function byDefinition(inputCount: number): readonly CacheMapInput[] {
  return Array.from({ length: inputCount }, () => ({}));
}

function mergeDigest(op: MergeOp): Digest {
  const inputs = op.inputs.map((input) => ({ input: omitZero(input) }));
  return digestOf(encodeGoJSON({ Type: 'buildkit.merge.v0', Merge: { inputs: omitZero(inputs) } }));
}

function diffDigest(op: DiffOp): Digest {
  const lower = { input: omitZero(op.lower) };
  const upper = { input: omitZero(op.upper) };
  return digestOf(encodeGoJSON({ Type: 'buildkit.diff.v0', Diff: { lower, upper } }));
}
