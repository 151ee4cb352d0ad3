// The one encoding of an op: BuildKit's pb.Op, as its client marshals it, so that vertex digests are BuildKit's own.
// The order on the wire is that of Go's deterministic marshalling: plain fields by number, then the member of the oneof;
// so `inputs`, `platform` and `constraints` come before the op itself.
import { unreachable } from './errors.ts';
import type {
  CacheSharing,
  Chown,
  CopyAction,
  DiffOp,
  ExecMeta,
  ExecMount,
  ExecOp,
  FileAction,
  FileOp,
  MergeOp,
  MountType,
  NetworkMode,
  Op,
  OpInput,
  Platform,
  SecretOpt,
  SourceOp,
  UserRef,
} from './op.ts';
import { ProtobufWriter } from './protobuf-writer.ts';

/** LLB's number of each mount type. */
export const MOUNT_TYPE_NUMBERS: Readonly<Record<MountType, number>> = {
  bind: 0,
  secret: 1,
  ssh: 2,
  cache: 3,
  tmpfs: 4,
};
/** LLB's number of each sharing mode. */
export const CACHE_SHARING_NUMBERS: Readonly<Record<CacheSharing, number>> = { shared: 0, private: 1, locked: 2 };
/** LLB's number of each network mode. */
export const NETWORK_NUMBERS: Readonly<Record<NetworkMode, number>> = { sandbox: 0, host: 1, none: 2 };

/** The op's bytes. `inputs` are the vertex's inputs in order. */
export function encodeOp(op: Op, inputs: readonly OpInput[]): Uint8Array {
  const writer = new ProtobufWriter().messages(1, inputs.map(encodeInput));
  const platform = platformOf(op);
  writer.message(10, platform && encodePlatform(platform)).message(11, new ProtobufWriter());
  switch (op.kind) {
    case 'exec':
      return writer.message(2, encodeExec(op)).finish();
    case 'source':
      return writer.message(3, encodeSource(op)).finish();
    case 'file':
      return writer.message(4, encodeFile(op)).finish();
    case 'merge':
      return writer.message(6, encodeMerge(op)).finish();
    case 'diff':
      return writer.message(7, encodeDiff(op)).finish();
    default:
      return unreachable(op);
  }
}

/** The platform that LLB writes down: that of exec ops and image sources; other ops do the same on every platform. */
function platformOf(op: Op): Platform | undefined {
  if (op.kind === 'exec') return op.platform;
  return op.kind === 'source' && /^(docker-image|oci-layout):\/\//.test(op.identifier) ? op.platform : undefined;
}

function encodeInput(input: OpInput): ProtobufWriter {
  return new ProtobufWriter().string(1, input.digest).varint(2, input.index);
}

function encodePlatform(platform: Platform): ProtobufWriter {
  return new ProtobufWriter()
    .string(1, platform.architecture)
    .string(2, platform.os)
    .string(3, platform.variant)
    .string(4, platform.osVersion)
    .strings(5, platform.osFeatures);
}

function encodeSource(op: SourceOp): ProtobufWriter {
  return new ProtobufWriter().string(1, op.identifier).stringMap(2, op.attrs);
}

function encodeExec(op: ExecOp): ProtobufWriter {
  const secretEnv = (op.secretEnv ?? []).map((secret) =>
    new ProtobufWriter().string(1, secret.id).string(2, secret.name).varint(3, secret.optional),
  );
  return new ProtobufWriter()
    .message(1, encodeMeta(op.meta))
    .messages(2, op.mounts.map(encodeMount))
    .varint(3, NETWORK_NUMBERS[op.network])
    .varint(4, op.security === 'insecure')
    .messages(5, secretEnv);
}

function encodeMeta(meta: ExecMeta): ProtobufWriter {
  const extraHosts = (meta.extraHosts ?? []).map(({ host, ip }) => new ProtobufWriter().string(1, host).string(2, ip));
  const ulimits = (meta.ulimits ?? []).map(({ name, soft, hard }) =>
    new ProtobufWriter().string(1, name).varint(2, soft).varint(3, hard),
  );
  return new ProtobufWriter()
    .strings(1, meta.args)
    .strings(2, meta.env)
    .string(3, meta.cwd)
    .string(4, meta.user)
    .message(5, meta.proxyEnv && encodeProxyEnv(meta.proxyEnv))
    .messages(6, extraHosts)
    .string(7, meta.hostname)
    .messages(9, ulimits)
    .string(10, meta.cgroupParent)
    .varint(11, true);
}

function encodeProxyEnv(proxyEnv: Readonly<Record<string, string>>): ProtobufWriter {
  const writer = new ProtobufWriter();
  const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];
  names.forEach((name, index) => {
    writer.string(index + 1, proxyEnv[name] ?? proxyEnv[name.toLowerCase()]);
  });
  return writer;
}

function encodeMount(mount: ExecMount): ProtobufWriter {
  return new ProtobufWriter()
    .varint(1, mount.input)
    .string(2, mount.selector)
    .string(3, mount.dest)
    .varint(4, mountOutput(mount))
    .varint(5, mount.readonly)
    .varint(6, MOUNT_TYPE_NUMBERS[mount.type])
    .message(19, mount.type === 'tmpfs' ? new ProtobufWriter().varint(1, mount.tmpfs?.sizeBytes) : undefined)
    .message(20, mount.cache && encodeCacheOpt(mount.cache))
    .message(21, mount.secret && encodeSecretOpt(mount.secret))
    .message(22, mount.ssh && encodeSecretOpt(mount.ssh));
}

/** LLB leaves the output of secret and ssh mounts unset. */
export function mountOutput(mount: ExecMount): number {
  return mount.type === 'secret' || mount.type === 'ssh' ? 0 : mount.output;
}

function encodeCacheOpt(cache: { readonly id: string; readonly sharing: CacheSharing }): ProtobufWriter {
  return new ProtobufWriter().string(1, cache.id).varint(2, CACHE_SHARING_NUMBERS[cache.sharing]);
}

function encodeSecretOpt(secret: SecretOpt): ProtobufWriter {
  return new ProtobufWriter()
    .string(1, secret.id)
    .varint(2, secret.uid)
    .varint(3, secret.gid)
    .varint(4, secret.mode)
    .varint(5, secret.optional);
}

function encodeFile(op: FileOp): ProtobufWriter {
  return new ProtobufWriter().messages(2, op.actions.map(encodeAction));
}

function encodeAction(action: FileAction): ProtobufWriter {
  const writer = new ProtobufWriter().varint(1, action.input).varint(2, action.secondaryInput).varint(3, action.output);
  switch (action.action) {
    case 'copy':
      return writer.message(4, encodeCopy(action));
    case 'mkfile':
      return writer.message(5, withOwner(pathAndMode(action).bytes(3, action.data), action.owner));
    case 'mkdir':
      return writer.message(
        6,
        withOwner(pathAndMode(action).varint(3, action.makeParents), action.owner, action.timestampMs),
      );
    case 'rm':
      return writer.message(
        7,
        new ProtobufWriter().string(1, action.path).varint(2, action.allowNotFound).varint(3, action.allowWildcard),
      );
    default:
      return unreachable(action);
  }
}

function encodeCopy(copy: CopyAction): ProtobufWriter {
  return new ProtobufWriter()
    .string(1, copy.src)
    .string(2, copy.dest)
    .message(3, copy.owner && encodeChown(copy.owner))
    .varint(4, copy.modeStr ? 0 : copy.mode)
    .varint(5, copy.followSymlink)
    .varint(6, copy.dirCopyContents)
    .varint(7, copy.attemptUnpack)
    .varint(8, copy.createDestPath)
    .varint(9, copy.allowWildcard)
    .varint(10, copy.allowEmptyWildcard)
    .varint(11, -1)
    .strings(12, copy.includePatterns)
    .strings(13, copy.excludePatterns)
    .varint(14, copy.alwaysReplaceExistingDestPaths)
    .string(15, copy.modeStr)
    .strings(16, copy.requiredPaths);
}

function pathAndMode(action: { readonly path: string; readonly mode: number }): ProtobufWriter {
  return new ProtobufWriter().string(1, action.path).varint(2, action.mode);
}

/** Owner and timestamp in ns (-1: none) end both mkfile and mkdir. */
function withOwner(writer: ProtobufWriter, owner: Chown | undefined, timestampMs?: number): ProtobufWriter {
  return writer.message(4, owner && encodeChown(owner)).varint(5, timestampNs(timestampMs));
}

/** LLB's time of an action; whole seconds are exact as a double until the year 2116. */
export function timestampNs(timestampMs: number | undefined): number {
  return timestampMs === undefined ? -1 : timestampMs * 1e6;
}

function encodeChown(chown: Chown): ProtobufWriter {
  return new ProtobufWriter()
    .message(1, chown.user && encodeUser(chown.user))
    .message(2, chown.group && encodeUser(chown.group));
}

function encodeUser(user: UserRef): ProtobufWriter {
  if ('id' in user) return new ProtobufWriter().varintAlways(2, user.id);
  return new ProtobufWriter().message(1, new ProtobufWriter().string(1, user.name).varint(2, user.input));
}

function encodeMerge(op: MergeOp): ProtobufWriter {
  return new ProtobufWriter().messages(1, op.inputs.map(encodeIndex));
}

function encodeDiff(op: DiffOp): ProtobufWriter {
  return new ProtobufWriter().message(1, encodeIndex(op.lower)).message(2, encodeIndex(op.upper));
}

function encodeIndex(input: number): ProtobufWriter {
  return new ProtobufWriter().varint(1, input);
}
