// Reasons in the words of progress, and in those of `tsbuild explain`.
import { expect, it } from 'vitest';
import { explainReason, formatReason, type Reason } from '../../src/explain/reason.ts';

const paths = Array.from({ length: 23 }, (_, number) => `f${number}`);

it.each<[Reason, string, readonly string[] | undefined]>([
  [
    { kind: 'modes', count: 23, old: '0644', new: '0664', paths },
    'mode of 23 paths changed alike (0644 -> 0664), as by another umask',
    [
      'mode of 23 paths changed alike (0644 -> 0664), as by another umask',
      ...paths.slice(0, 20).map((path) => `  ${path}`),
      '  and 3 more (--json lists them)',
    ],
  ],
  [
    { kind: 'modes', count: 9, old: '0644', new: '0664' },
    'mode of 9 paths changed alike (0644 -> 0664), as by another umask',
    undefined,
  ],
  [
    { kind: 'path', path: 'f', change: 'content', old: '0123456789abcdef', new: 'fedcba9876543210' },
    'f changed (content)',
    ['f changed (content 0123456789ab -> fedcba987654)'],
  ],
  [
    {
      kind: 'path',
      path: 'f',
      change: 'xattrs',
      old: 'user.a b=01 user.c=02 user.d=',
      new: 'user.a b=0102 user.d= user.e=00',
    },
    'f changed (xattrs)',
    ['f changed (xattrs: user.a b changed, user.c removed, user.e added)'],
  ],
  [{ kind: 'path', path: 'f', change: 'mode', old: '0644', new: '0600' }, 'f changed (mode 0644 -> 0600)', undefined],
  [
    { kind: 'base', name: 'b:1', old: `sha256:${'a'.repeat(64)}`, new: `sha256:${'b'.repeat(64)}` },
    'base image b:1 changed: sha256:aaaaaaaaaaaa -> sha256:bbbbbbbbbbbb',
    undefined,
  ],
  [
    { kind: 'base', name: 'b:1', old: 'sha256:a', new: 'sha256:b', oldName: 'a:1', args: ['NAME', 'TAG'] },
    'base image changed: a:1 -> b:1 (build arg NAME, TAG)',
    undefined,
  ],
  [
    { kind: 'base', name: 'b:1', old: 'sha256:a', new: 'sha256:b', oldName: 'a:1' },
    'base image changed: a:1 -> b:1',
    undefined,
  ],
  [{ kind: 'unfinished', status: 'failed' }, 'it failed the last time', undefined],
  [{ kind: 'unfinished', status: 'canceled' }, 'it was canceled the last time', undefined],
  [{ kind: 'unfinished', status: 'interrupted' }, 'it did not end the last time', undefined],
])('%j', (reason, short, long) => {
  expect(formatReason(reason)).toBe(short);
  expect(explainReason(reason)).toEqual(long ?? [short]);
});
