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
    ['type=gha,scope=s', 'there is no type "gha"'],
    ['type=s3,bucket=b', 'type=s3 needs region= or $AWS_REGION'],
    ['type=s3,bucket=b,region=r,endpoint_url=host', 'endpoint_url=host is no URL'],
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
    ['type=local,dest=d,compression-level=99', 'compression-level=99 does not fit compression=gzip'],
    ['type=local,dest=d,compression=zstd,compression-level=23', 'compression-level=23 does not fit compression=zstd'],
    ['type=local,dest=d,compression-level=x', 'compression-level=x is no level'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseCacheExport(text)).toThrow(`invalid --cache-to "${text}": ${reason}`);
  });
});

describe('a cache in S3', () => {
  const given = 'type=s3,bucket=b,region=r,endpoint_url=http://h:1,use_path_style=true,prefix=p/,name=one;two';
  const place = {
    bucket: { bucket: 'b', region: 'r', endpoint: 'http://h:1', isPathStyle: true },
    blobsPrefix: 'p/blobs/',
    manifestsPrefix: 'p/manifests/',
    names: ['one', 'two'],
  };

  it('is read as BuildKit reads it', () => {
    expect(parseCacheImport(given)).toEqual({ kind: 's3', place });
    expect(parseCacheExport(`${given},mode=max,touch_refresh=1h30m,upload_parallelism=2`)).toEqual({
      kind: 's3',
      place,
      upload: { parallelism: 2, touchAfterMs: 5_400_000 },
      ...common,
      mode: 'max',
    });
    expect(parseCacheImport('type=s3', { AWS_BUCKET: 'e', AWS_REGION: 'f' })).toMatchObject({
      place: { bucket: { bucket: 'e', region: 'f', isPathStyle: false }, names: ['buildkit'] },
    });
  });

  it.each([
    [
      'type=s3,bucket=b,region=r,access_key_id=AK',
      'invalid --cache-from "type=s3,bucket=b,region=r,access_key_id=***": access_key_id= and secret_access_key= belong together',
    ],
    [
      'type=s3,secret_access_key=se/cr+et=,bucket=b',
      'invalid --cache-from "type=s3,secret_access_key=***,bucket=b": access_key_id= and secret_access_key= belong together',
    ],
    ['type=s3,secret_access_key=se,cret', 'invalid --cache-from "type=s3,secret_access_key=***": a part has no "="'],
    [
      'type=s3,"secret_access_key=se,cret",x=1',
      'invalid --cache-from "type=s3,"secret_access_key=***,x=1": type=s3 has no option "x"',
    ],
  ])('shows no secret: %s', (text, message) => {
    expect(() => parseCacheImport(text)).toThrow(message);
  });

  it('does not carry cache mounts', () => {
    expect(() => parseCacheExport(`${given},mounts=true`)).toThrow('type=s3 has no option "mounts"');
  });
});
