import { describe, expect, test } from 'vitest';
import { checkDevice, checkMount, parseMount, resolveMountTarget } from '../../frontend/run-mount.ts';

describe('mounts', () => {
  test.each([
    ['target=/x', { type: 'bind', target: '/x', readonly: true, from: undefined }],
    ['type=bind,from=a,src=/s,dst=/x,rw', { from: 'a', source: '/s', target: '/x', readonly: false }],
    [
      'TYPE=CACHE,destination=/x,id=i,sharing=LOCKED,mode=0700,uid=1,gid=2',
      { type: 'cache', sharing: 'locked', mode: 0o700, uid: 1, gid: 2, cacheID: 'i', readonly: false },
    ],
    ['type=cache,target=/x,ro=true', { readonly: true }],
    ['type=tmpfs,target=/x,size=100m', { sizeBytes: 100 * 1024 * 1024, readonly: false }],
    ['type=tmpfs,target=/x,size=1.5 GiB', { sizeBytes: 1.5 * 1024 ** 3 }],
    ['type=tmpfs,target=/x,size=7', { sizeBytes: 7 }],
    ['type=secret,id=s,env=E,required', { cacheID: 's', env: 'E', required: true, readonly: true }],
    ['type=ssh,required=false', { type: 'ssh', required: false, target: undefined }],
    ['type=bind,"target=/a,b"', { target: '/a,b' }],
  ])('%s', (text, expected) => {
    expect(parseMount(text)).toMatchObject(expected);
  });

  test.each([
    ['type=bnd', 'unsupported mount type "bnd" (did you mean bind?)'],
    ['type=volume', 'unsupported mount type "volume"'],
    ['type=cache,targt=/x', "unexpected key 'targt' in 'targt=/x' (did you mean target?)"],
    ['type=cache,zzzzzz=/x', "unexpected key 'zzzzzz' in 'zzzzzz=/x'"],
    ['foo', "invalid field 'foo' must be a key=value pair"],
    ['type=cache,sharing=share', 'unsupported sharing value "share" (did you mean shared?)'],
    ['type=cache,ro=maybe', 'invalid value for ro: maybe'],
    ['type=cache,mode=9', 'invalid value 9 for mode'],
    ['type=cache,uid=-1', 'invalid value -1 for uid'],
    ['type=cache,gid=4294967296', 'invalid value 4294967296 for gid'],
    ['type=tmpfs,size=foo', 'invalid value for size: foo'],
    ['type=bind,size=1', "unexpected key 'size' for mount type 'bind'"],
    ['type=cache,required', "unexpected key 'required' for mount type 'cache'"],
    ['type=tmpfs,mode=7', 'mode not allowed for "tmpfs" type mounts'],
    ['type=bind,uid=7', 'uid not allowed for "bind" type mounts'],
    ['type=secret,id=a,from=b', 'secret mount should not have a from'],
    ['type=secret,id=a,sharing=shared', 'secret mount should not define sharing'],
    ['type=secret', 'invalid secret mount. one of source, target required'],
    ['type=secret,id=a,source=b', "both source and id can't be set"],
    ['type=bind,sharing=shared', 'invalid cache sharing set for bind mount'],
    ['type=bind,a"b', 'failed to parse csv mounts: parse error on line 1, column 12: bare " in non-quoted-field'],
  ])('%s is refused', (text, message) => {
    expect(() => parseMount(text)).toThrow(message);
  });

  test('values expand one by one, but not that of from', () => {
    const mount = parseMount('type=cache,from=$x,target=$x', (value) => value.replace('$x', '/a,b'));
    expect(mount).toMatchObject({ from: '$x', target: '/a,b' });
  });

  test('only what never expands is checked early', () => {
    expect(() => checkMount('type=$t,foo,from=a')).not.toThrow();
    expect(() => checkMount('from=$x')).toThrow(
      "'from' doesn't support variable expansion, define alias stage instead",
    );
  });

  test('a target starts at the working directory and is never the root', () => {
    expect(resolveMountTarget('a/../b/', '/w')).toBe('/w/b');
    expect(resolveMountTarget(undefined, '/w')).toBe('/w');
    expect(resolveMountTarget('/x', '/w')).toBe('/x');
    expect(() => resolveMountTarget('/../', '/w')).toThrow('invalid mount target "/"');
    expect(() => resolveMountTarget(undefined, '/')).toThrow('invalid mount target "/"');
  });
});

test.each([
  ['a,required=x', 'invalid value for required: x'],
  ['a,name=b', 'device name already set to a'],
  ['a,b', "invalid field 'b' must be a key=value pair"],
  ['a,nam=b', "unexpected key 'nam' in 'nam=b' (did you mean name?)"],
])('device %s is refused', (text, message) => {
  expect(() => checkDevice(text)).toThrow(message);
  expect(() => checkDevice('vendor.com/gpu=0,required')).not.toThrow();
});
