import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { encodeOp } from '../../solver/encode.ts';
import type { OpInput } from '../../solver/op.ts';
import { createVertex } from '../../solver/vertex-factory.ts';
import { hasVectors, readVector } from './corpus.ts';
import { opFromJSON } from './llb-fixture.ts';

const MEASURED_LOCAL_SOURCE =
  'WgAaxQEKEmxvY2FsOi8vZG9ja2VyZmlsZRIUCgxsb2NhbC5kaWZmZXISBG5vbmUSSgoRbG9jYWwuZm9sbG93cGF0aHMSNVsiRG9ja2VyZmlsZSIsIkRvY2tlcmZpbGUuZG9ja2VyaWdub3JlIiwiZG9ja2VyZmlsZSJdEioKDWxvY2FsLnNlc3Npb24SGWlqMjl3MWllc282bHJqc3h6Zm04bGJmMGESIQoTbG9jYWwuc2hhcmVka2V5aGludBIKZG9ja2VyZmlsZQ==';

describe('encodeOp', () => {
  it('writes the bytes BuildKit writes for a local source, whatever the order of the attributes', () => {
    const op = {
      kind: 'source' as const,
      identifier: 'local://dockerfile',
      attrs: {
        'local.sharedkeyhint': 'dockerfile',
        'local.session': 'ij29w1ieso6lrjsxzfm8lbf0a',
        'local.followpaths': '["Dockerfile","Dockerfile.dockerignore","dockerfile"]',
        'local.differ': 'none',
      },
    };
    expect(Buffer.from(encodeOp(op, [])).toString('base64')).toBe(MEASURED_LOCAL_SOURCE);
  });

  it.skipIf(!hasVectors)('gives every vertex of a measured definition the digest BuildKit gives it', () => {
    const { def } = readVector('set2/convertllb-target-b.json');
    const differing = Object.entries<{ inputs?: { digest: OpInput['digest']; index?: string }[]; file?: unknown }>(def)
      // The head of a definition is no vertex of ours.
      .filter(([, json]) => Object.keys(json).some((key) => key !== 'inputs'))
      .map(([digest, json]) => {
        const inputs = (json.inputs ?? []).map((input) => ({ digest: input.digest, index: Number(input.index ?? 0) }));
        return { digest, computed: digestOf(encodeOp(opFromJSON(json), inputs)), json };
      })
      .filter(({ digest, computed }) => digest !== computed);
    expect(Object.keys(def)).toHaveLength(16);
    expect(differing).toEqual([]);
  });

  it('leaves the platform out of a file op and of a local source', () => {
    const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
    const file = { kind: 'file' as const, actions: [] };
    expect(encodeOp({ ...file, platform }, [])).toEqual(encodeOp(file, []));
    const local = { kind: 'source' as const, identifier: 'local://context', attrs: {} };
    expect(encodeOp({ ...local, platform }, [])).toEqual(encodeOp(local, []));
    const image = { kind: 'source' as const, identifier: 'docker-image://docker.io/library/a:1', attrs: {} };
    expect(encodeOp({ ...image, platform }, [])).not.toEqual(encodeOp(image, []));
  });

  it('writes user number 0, which is a choice and not an absence', () => {
    const mkdir = { action: 'mkdir' as const, input: -1, secondaryInput: -1, output: 0, path: '/a', mode: 0o755 };
    const withRoot = { ...mkdir, makeParents: false, owner: { user: { id: 0 } } };
    const bytes = Buffer.from(encodeOp({ kind: 'file', actions: [withRoot] }, [])).toString('hex');
    expect(bytes).toContain('22040a021000');
  });
});

describe('createVertex', () => {
  it('digests op and inputs but not the options', () => {
    const op = { kind: 'merge' as const, inputs: [0] };
    const source = createVertex({ kind: 'source', identifier: 'local://a', attrs: {} }, [], { name: 'a' });
    const edge = { vertex: source, index: 0 };
    const vertex = createVertex(op, [edge], { name: 'one' });
    expect(createVertex(op, [edge], { name: 'two', ignoreCache: true }).digest).toBe(vertex.digest);
    expect(createVertex(op, [{ vertex: source, index: 1 }], { name: 'one' }).digest).not.toBe(vertex.digest);
  });
});
