import { describe, expect, it } from 'vitest';
import { parseCSVLine } from '../../src/export/csv-line.ts';
import { parseOutput } from '../../src/export/output-spec.ts';
import { thrown } from '../store/store-rig.ts';

const image = { names: [], annotations: {}, compression: 'gzip', isForced: false };

describe('parseOutput', () => {
  it.each([
    ['out', { kind: 'local', dest: 'out' }],
    ['./a b', { kind: 'local', dest: './a b' }],
    ['dest=x', { kind: 'local', dest: 'dest=x' }],
    ['-', { kind: 'tar', dest: '-' }],
    ['type=local,dest=out', { kind: 'local', dest: 'out' }],
    ['type=tar,dest=-', { kind: 'tar', dest: '-' }],
    ['type=oci,dest=x.tar', { kind: 'oci', dest: 'x.tar', isTar: true, ...image }],
    [' TYPE=oci,Dest=x=y.tar', { kind: 'oci', dest: 'x=y.tar', isTar: true, ...image }],
    ['type=docker,dest=d,tar=false', { kind: 'docker', dest: 'd', isTar: false, ...image }],
    ['type=oci,"dest=a,b.tar"', { kind: 'oci', dest: 'a,b.tar', isTar: true, ...image }],
    [
      'type=oci,dest=-,compression=zstd,compression-level=22,force-compression=1,"name=a:1,b:2",annotation.Some.Key=v=w',
      {
        kind: 'oci',
        dest: '-',
        isTar: true,
        names: ['a:1', 'b:2'],
        annotations: { 'Some.Key': 'v=w' },
        compression: 'zstd',
        level: 22,
        isForced: true,
      },
    ],
    ['type=image', { kind: 'image', isPush: false, ...image }],
    ['type=registry,name=r/a', { kind: 'image', isPush: true, ...image, names: ['r/a'] }],
    ['type=cacheonly', { kind: 'cacheonly' }],
  ])('reads %s', (text, spec) => {
    expect(parseOutput(text)).toEqual(spec);
  });

  const types = 'types are oci, docker, local, tar, image, registry, cacheonly';
  it.each([
    ['', 'it is empty', 'give a directory, or type=oci,dest=image.tar'],
    ['dest=x,tar=false', 'it has no type', types],
    ['type=', 'it has no type', types],
    ['type=constructor', 'there is no type "constructor"', types],
    ['type=oci,x', '"x" has no "="', 'write key=value, separated by commas'],
    ['type=oci,"dest=x', 'its quotes do not match', undefined],
    ['type=oci', 'type=oci needs dest=', 'give a file, or - for stdout'],
    ['type=docker,dest=', 'type=docker needs dest=', 'give a file, or dest=- with a pipe to `docker load`'],
    ['type=local', 'type=local needs dest=', 'give a directory'],
    ['type=local,dest=-', 'a directory cannot be written to stdout', 'use type=tar,dest=-'],
    ['type=oci,dest=-,tar=false', 'a directory (tar=false) cannot be written to stdout', undefined],
    ['type=oci,dest=x,tar=yes', 'tar=yes is neither true nor false', undefined],
    ['type=local,dest=x,name=y', 'type=local has no option "name"', 'its options are dest'],
    ['type=cacheonly,dest=x', 'type=cacheonly has no option "dest"', 'it has no options'],
    ['type=oci,dest=x,compression=br', 'there is no compression "br"', 'compressions are gzip, zstd, uncompressed'],
    [
      'type=oci,dest=x,compression-level=10',
      'compression-level=10 does not fit compression=gzip',
      'levels of gzip are 0 to 9',
    ],
    [
      'type=oci,dest=x,compression=uncompressed,compression-level=1',
      'compression-level=1 does not fit compression=uncompressed',
      'leave it out',
    ],
    [
      'type=oci,dest=x,oci-mediatypes=false',
      'oci-mediatypes=false is not supported',
      'images are written with OCI media types',
    ],
  ])('refuses %s', (text, reason, hint) => {
    expect(thrown(() => parseOutput(text))).toEqual({
      code: 'TSB_OUTPUT_INVALID',
      message: `invalid output "${text}": ${reason}`,
      hint,
    });
  });
});

describe('parseCSVLine', () => {
  it.each([
    ['', ['']],
    ['a,,b', ['a', '', 'b']],
    ['a,', ['a', '']],
    ['"a,b","say ""hi""",c', ['a,b', 'say "hi"', 'c']],
    ['a"b', undefined],
    ['"a"b', undefined],
  ])('splits %s', (line, fields) => {
    expect(parseCSVLine(line)).toEqual(fields);
  });
});
