import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { parseCacheExport, parseCacheImport } from '../../src/cache/cache-spec.ts';

const common = {
  mode: 'min',
  isImageManifest: true,
  hasOCITypes: true,
  compression: 'gzip',
  isForced: false,
  ignoresErrors: true,
};

describe('--cache-from', () => {
  it('reads an image name, a registry and a directory', () => {
    const reference = { domain: 'docker.io', path: 'me/app', tag: 'latest' };
    expect(parseCacheImport('me/app')).toEqual({ kind: 'registry', reference });
    expect(parseCacheImport('type=registry,ref=me/app')).toEqual({ kind: 'registry', reference });
    expect(parseCacheImport('type=local,src=dir')).toEqual({ kind: 'local', directory: 'dir' });
    const digest = digestOf('x');
    expect(parseCacheImport(`type=local,src=a,tag=t,digest=${digest}`)).toEqual({
      kind: 'local',
      directory: 'a',
      tag: 't',
      digest,
    });
  });

  it.each([
    ['type=s3,bucket=b', 'there is no type "s3"'],
    ['type=local', 'type=local needs src='],
    ['type=local,src=a,digest=x', '"x" is no digest'],
    [
      'type=registry,ref=A',
      '"A" is no image name: invalid reference format: repository name (library/A) must be lowercase',
    ],
    ['type=local,src=a,mode=max', 'type=local has no option "mode"'],
    ['ref=a', 'it has no type'],
    ['type=local,src', '"src" has no "="'],
    ['"', 'its quotes do not match'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseCacheImport(text)).toThrow(`invalid --cache-from "${text}": ${reason}`);
  });
});

describe('--cache-to', () => {
  it('reads what to write, where and how', () => {
    expect(parseCacheExport('type=inline')).toEqual({ kind: 'inline' });
    expect(parseCacheExport('type=local,dest=d')).toEqual({ kind: 'local', directory: 'd', tag: 'latest', ...common });
    expect(
      parseCacheExport(
        'type=registry,ref=r:5000/a:b,mode=max,image-manifest=false,compression=zstd,compression-level=9',
      ),
    ).toEqual({
      kind: 'registry',
      reference: { domain: 'r:5000', path: 'a', tag: 'b' },
      ...common,
      mode: 'max',
      isImageManifest: false,
      compression: 'zstd',
      level: 9,
    });
    expect(parseCacheExport('type=local,dest=d,oci-mediatypes=false,ignore-error=false')).toMatchObject({
      hasOCITypes: false,
      isImageManifest: false,
      ignoresErrors: false,
    });
  });

  it.each([
    ['type=inline,mode=max', 'an inline cache is mode=min'],
    ['type=local,dest=d,mode=most', 'there is no mode "most"'],
    ['type=local,dest=d,compression=xz', 'there is no compression "xz"'],
    ['type=local,dest=d,image-manifest=true,oci-mediatypes=false', 'image-manifest=true needs oci-mediatypes=true'],
    ['type=local,dest=d,compression=zstd,oci-mediatypes=false', 'compression=zstd needs oci-mediatypes=true'],
    ['type=local,dest=d,image-manifest=maybe', 'image-manifest=maybe is neither true nor false'],
    ['type=local,dest=d,compression-level=x', 'compression-level=x is no level'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseCacheExport(text)).toThrow(`invalid --cache-to "${text}": ${reason}`);
  });
});
