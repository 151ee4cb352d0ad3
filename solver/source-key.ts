// The digests by which BuildKit's cache knows sources. Each is a cache map's `digest`; the record is `rootKey(digest, 0)`.
import { type Digest, digestOf } from './digest.ts';
import { encodeGoJSON, omitZero } from './go-json.ts';
import type { Platform } from './op.ts';

/** Key 0 of an image: the index or manifest its name was resolved to, for a platform. */
export function imageSourceDigest(root: Digest, platform: Platform): Digest {
  const key = encodeGoJSON({
    Digest: root,
    OS: platform.os,
    Arch: platform.architecture,
    Variant: omitZero(platform.variant),
    OSVersion: omitZero(platform.osVersion),
    OSFeatures: omitZero(platform.osFeatures),
  });
  return sourceDigest(digestOf(key));
}

/** Key 1 of an image: its stack of layers, so that the same layers under another tag or manifest match. */
export function layersSourceDigest(diffIDs: readonly Digest[]): Digest {
  return sourceDigest(chainIDOf(diffIDs));
}

/** The chainID of a stack of layers, lowest first; the empty string for no layers. */
function chainIDOf(diffIDs: readonly Digest[]): string {
  return diffIDs.reduce((chain, diffID) => (chain === '' ? diffID : digestOf(`${chain} ${diffID}`)), '');
}

interface GitSourceKey {
  /** The commit's hex id. */
  readonly commit: string;
  /** The full ref (`refs/heads/main`) when the `.git` folder is kept; empty when kept without a ref. */
  readonly keptGitRef?: string;
  readonly subdir?: string;
  readonly skipSubmodules?: boolean;
  readonly mtime?: string;
}

/** The key of a git checkout. */
export function gitSourceDigest(key: GitSourceKey): Digest {
  const ref = key.keptGitRef ? `#${key.keptGitRef}` : '';
  const git = key.keptGitRef === undefined ? '' : `.git${ref}`;
  const subdir = key.subdir ? `:${key.subdir}` : '';
  const submodules = key.skipSubmodules ? '(skip-submodules)' : '';
  const mtime = key.mtime ? `(mtime=${key.mtime})` : '';
  return sourceDigest(`${key.commit}${git}${subdir}${submodules}${mtime}`);
}

interface HTTPSourceKey {
  readonly filename: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Of the body. */
  readonly checksum: Digest;
  /** The Last-Modified header as sent. */
  readonly lastModified?: string;
  readonly authHeaderSecret?: string;
}

/** The key of a downloaded file. */
export function httpSourceDigest(key: HTTPSourceKey): Digest {
  const json = encodeGoJSON({
    Filename: key.filename,
    Perm: key.mode ?? 0,
    UID: key.uid ?? 0,
    GID: key.gid ?? 0,
    Checksum: key.checksum,
    LastModTime: omitZero(key.lastModified),
    AuthHeaderSecret: omitZero(key.authHeaderSecret),
  });
  return sourceDigest(digestOf(json));
}

function sourceDigest(key: string): Digest {
  return digestOf(`buildkit.source.v0:${key}`);
}
