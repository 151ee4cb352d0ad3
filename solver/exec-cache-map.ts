// The cache map of an exec op (RUN), as BuildKit's solver/llbsolver/ops/exec.go defines it.
import { posix } from 'node:path';
import { outermostPaths } from './content-selector.ts';
import { type Digest, digestOf } from './digest.ts';
import { CACHE_SHARING_NUMBERS, MOUNT_TYPE_NUMBERS, mountOutput, NETWORK_NUMBERS } from './encode.ts';
import { encodeGoJSON, type GoJSONStruct, omitZero } from './go-json.ts';
import type { ExecMeta, ExecMount, ExecOp, Platform, SecretOpt } from './op.ts';
import type { CacheMap, CacheMapInput, ContentSelector } from './op-runner.ts';

/** See `cacheMapOf`. */
export function execCacheMap(op: ExecOp, inputCount: number, defaultPlatform: Platform): CacheMap {
  const inputs = Array.from({ length: inputCount }, (_, index) => mapInput(op.mounts, index));
  return { digest: execDigest(op, op.platform ?? defaultPlatform), inputs };
}

function execDigest(op: ExecOp, platform: Platform): Digest {
  const exec = {
    meta: metaJSON(op.meta),
    // A record of the time when mounts were left out by mistake still matches when there is only the root mount.
    mounts: isPlainRootOnly(op.mounts) ? undefined : omitZero(op.mounts.map(mountJSON)),
    network: omitZero(NETWORK_NUMBERS[op.network]),
    security: op.security === 'insecure' ? 1 : undefined,
    secretenv: omitZero(
      (op.secretEnv ?? []).map((secret) => ({
        ID: omitZero(secret.id),
        name: omitZero(secret.name),
        optional: omitZero(secret.optional),
      })),
    ),
  };
  return digestOf(
    encodeGoJSON({
      Type: 'buildkit.exec.v0',
      Exec: exec,
      OS: platform.os,
      Arch: platform.architecture,
      Variant: omitZero(platform.variant),
      OSVersion: omitZero(platform.osVersion),
      OSFeatures: omitZero(platform.osFeatures),
    }),
  );
}

function isPlainRootOnly(mounts: readonly ExecMount[]): boolean {
  const [root] = mounts;
  return mounts.length === 1 && root?.dest === '/' && !root.readonly && root.type === 'bind';
}

/** Addresses of extra hosts and proxy variables are not part of the key. */
function metaJSON(meta: ExecMeta): GoJSONStruct {
  return {
    args: omitZero(meta.args),
    env: omitZero(meta.env),
    cwd: omitZero(meta.cwd),
    user: omitZero(meta.user),
    extraHosts: omitZero((meta.extraHosts ?? []).map(({ host }) => ({ Host: omitZero(host) }))),
    hostname: omitZero(meta.hostname),
    ulimit: omitZero(
      (meta.ulimits ?? []).map(({ name, soft, hard }) => ({
        Name: omitZero(name),
        Soft: omitZero(soft),
        Hard: omitZero(hard),
      })),
    ),
    cgroupParent: omitZero(meta.cgroupParent),
    removeMountStubsRecursive: true,
  };
}

function mountJSON(mount: ExecMount): GoJSONStruct {
  return {
    input: omitZero(mount.input),
    dest: omitZero(mount.dest),
    output: omitZero(mountOutput(mount)),
    readonly: omitZero(mount.readonly),
    mountType: omitZero(MOUNT_TYPE_NUMBERS[mount.type]),
    TmpfsOpt: mount.type === 'tmpfs' ? { size: omitZero(mount.tmpfs?.sizeBytes) } : undefined,
    cacheOpt: mount.cache && cacheJSON(mount.cache, mount.dest),
    secretOpt: mount.secret && secretJSON(mount.secret),
    SSHOpt: mount.ssh && secretJSON(mount.ssh),
  };
}

/** A cache mount's id and sharing count only when they are the defaults: `dest` or `<namespace>/` + `dest`, shared. */
function cacheJSON(cache: NonNullable<ExecMount['cache']>, dest: string): GoJSONStruct {
  const slash = cache.id.indexOf('/');
  const isDefaultID = cache.id === dest || (slash >= 0 && cache.id.slice(slash + 1) === dest);
  return isDefaultID && CACHE_SHARING_NUMBERS[cache.sharing] === 0 ? { ID: omitZero(cache.id) } : {};
}

function secretJSON(secret: SecretOpt): GoJSONStruct {
  return {
    ID: omitZero(secret.id),
    uid: omitZero(secret.uid),
    gid: omitZero(secret.gid),
    mode: omitZero(secret.mode),
    optional: omitZero(secret.optional),
  };
}

function mapInput(mounts: readonly ExecMount[], index: number): CacheMapInput {
  const readers = mounts.filter((mount) => mount.input === index && (mount.type === 'bind' || mount.type === 'cache'));
  const last = readers.at(-1);
  if (last === undefined) return {};
  const paths = readers.map(selectedPath);
  const selector = digestOf(paths.join('\0'));
  return countsByContent(last) ? { selector, contentSelectors: contentSelectors(paths) } : { selector };
}

function selectedPath(mount: ExecMount): string {
  const path = posix.join('/', mount.selector ?? '');
  return path === '/' ? path : path.replace(/\/$/, '');
}

/**
 * Safe when nothing outside the selection can reach a later step: what is written is thrown away, nothing is written, or
 * all of the source is selected. The root mount could count so as well, but hashing a whole rootfs is not worth it.
 */
function countsByContent(mount: ExecMount): boolean {
  const isSafe = mount.output === -1 || mount.readonly === true || selectedPath(mount) === '/';
  return isSafe && mount.dest !== '/';
}

function contentSelectors(paths: readonly string[]): readonly ContentSelector[] {
  if (paths.includes('/')) return [{ path: '/', wildcard: false, followLinks: false }];
  return outermostPaths(paths).map((path) => ({ path, wildcard: false, followLinks: true }));
}
