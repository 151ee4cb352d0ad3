import { describe, expect, it } from 'vitest';
import { resolveUser } from '../../src/sandbox/user.ts';

const FILES: Readonly<Record<string, string>> = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\napp:x:100:101::/home/app:/bin/sh\n\n1234:x:55:56::/odd:/bin/sh\n',
  '/etc/group': 'root:x:0:\napp:x:101:app\nextra:x:200:other,app\nops:x:201: app\n',
};
const resolve = (user: string | undefined, files = FILES): ReturnType<typeof resolveUser> =>
  resolveUser(user, (path) => files[path]);

describe('resolveUser', () => {
  it('is root without a user', () => {
    expect(resolve(undefined)).toEqual({ uid: 0, gid: 0, groups: [0], home: '/root' });
    expect(resolve('')).toEqual({ uid: 0, gid: 0, groups: [0], home: '/root' });
    expect(resolve(undefined, {})).toEqual({ uid: 0, gid: 0, groups: [0], home: '/' });
  });

  it('finds names with their groups, the primary one first and none twice', () => {
    expect(resolve('app')).toEqual({ uid: 100, gid: 101, groups: [101, 200, 201], home: '/home/app' });
    expect(resolve('100')).toEqual(resolve('app'));
  });

  it('takes a number for a user id even where a name is spelt so', () => {
    expect(resolve('1234')).toEqual({ uid: 1234, gid: 0, groups: [0], home: '/' });
  });

  it('gives an unknown number group 0', () => {
    expect(resolve('4242')).toEqual({ uid: 4242, gid: 0, groups: [0], home: '/' });
  });

  it('takes an explicit group alone', () => {
    expect(resolve('app:0')).toEqual({ uid: 100, gid: 0, groups: [0], home: '/home/app' });
    expect(resolve('app:extra')).toEqual({ uid: 100, gid: 200, groups: [200], home: '/home/app' });
    expect(resolve('7:8')).toEqual({ uid: 7, gid: 8, groups: [8], home: '/' });
    expect(resolve(':extra')).toEqual({ uid: 0, gid: 200, groups: [200], home: '/root' });
  });

  it('names what it cannot find', () => {
    expect(() => resolve('nosuch')).toThrow('unable to find user nosuch: no matching entries in passwd file');
    expect(() => resolve('app:nosuch')).toThrow('unable to find group nosuch: no matching entries in group file');
    expect(() => resolve('x', {})).toThrow('unable to find user x: no matching entries in passwd file');
    expect(() => resolve('-1')).toThrow('uids and gids must be in range 0-2147483647');
    expect(() => resolve('app:4294967296')).toThrow('uids and gids must be in range 0-2147483647');
  });
});
