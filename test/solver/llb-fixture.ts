// Reads ops from the JSON in which BuildKit's frontend.convertllb shows a definition.
import type { Chown, ExecMount, FileAction, MountType, Op, Platform, SecretOpt, UserRef } from '../../solver/op.ts';

// biome-ignore lint/suspicious/noExplicitAny: the shape of a foreign JSON file
type Json = any;

export function opFromJSON(json: Json): Op {
  if (json.source) return { kind: 'source', identifier: json.source.identifier, attrs: json.source.attrs ?? {} };
  if (json.file) return { kind: 'file', actions: json.file.actions.map(actionFromJSON) };
  if (json.exec) {
    return {
      kind: 'exec',
      meta: json.exec.meta,
      mounts: json.exec.mounts.map(mountFromJSON),
      network: 'sandbox',
      security: 'sandbox',
      platform: platformFromJSON(json.platform),
    };
  }
  throw new Error(`no op in ${JSON.stringify(json)}`);
}

function platformFromJSON(json: Json): Platform {
  return { os: json.OS, architecture: json.Architecture };
}

function mountFromJSON(json: Json): ExecMount {
  return {
    input: Number(json.input ?? 0),
    dest: json.dest,
    output: Number(json.output ?? 0),
    type: (json.mountType ?? 'BIND').toLowerCase() as MountType,
    ...(json.selector && { selector: json.selector }),
    ...(json.readonly && { readonly: true }),
    ...(json.secretOpt && { secret: secretFromJSON(json.secretOpt) }),
  };
}

function secretFromJSON(json: Json): SecretOpt {
  return { id: json.ID, uid: json.uid ?? 0, gid: json.gid ?? 0, mode: json.mode, optional: json.optional ?? false };
}

function actionFromJSON(json: Json): FileAction {
  const indexes = {
    input: Number(json.input ?? 0),
    secondaryInput: Number(json.secondaryInput ?? 0),
    output: Number(json.output ?? 0),
  };
  if (json.mkdir) return { action: 'mkdir', ...indexes, ...json.mkdir, ...ownerFromJSON(json.mkdir.owner) };
  if (json.mkfile) {
    return { action: 'mkfile', ...indexes, ...json.mkfile, data: Buffer.from(json.mkfile.data, 'base64') };
  }
  return { action: 'copy', ...indexes, ...json.copy, mode: json.copy.mode ?? 0, ...ownerFromJSON(json.copy.owner) };
}

function ownerFromJSON(json: Json): { owner?: Chown } {
  return json ? { owner: { ...(json.user && { user: userFromJSON(json.user) }) } } : {};
}

function userFromJSON(json: Json): UserRef {
  return { name: json.byName.name, input: Number(json.byName.input ?? 0) };
}
