import { expect, it } from 'vitest';
import { normaliseBuildOptions, type RawBuildFlags } from '../../src/cli/options.ts';
import { checkForwarded } from '../../src/context/check-forwarded.ts';

const check = (flags: RawBuildFlags) => checkForwarded(normaliseBuildOptions('.', flags, { SET: 'x' }), '/etc');

it.each<[RawBuildFlags, string, string]>([
  [
    { secret: ['id=a,src=hosts', 'id=s,src=/nosuch'] },
    'TSB_SECRET_UNREADABLE',
    'could not parse secrets: [id=s,src=/nosuch]: failed to stat /nosuch: no such file or directory',
  ],
  [
    { secret: ['id=nosuch'] },
    'TSB_SECRET_UNREADABLE',
    'could not parse secrets: [id=nosuch,src=nosuch]: failed to stat nosuch: no such file or directory',
  ],
  [
    { secret: ['id=s,src=hosts/x'] },
    'TSB_SECRET_UNREADABLE',
    'could not parse secrets: [id=s,src=hosts/x]: failed to stat hosts/x: not a directory',
  ],
  [
    { ssh: ['default', 'k=hosts,nosuch'] },
    'TSB_SSH_KEY',
    'ssh agent k: cannot use the key /etc/nosuch: no such file or directory',
  ],
])('%j is refused before anything is built', (flags, code, message) => {
  expect(() => check(flags)).toThrow(expect.objectContaining({ code, message }));
});

it('files that are there pass, and variables are looked at when a step asks', () => {
  const flags = { secret: ['id=a,src=hosts', 'id=SET', 'id=b,env=UNSET'], ssh: ['default', 'k=/etc/hosts'] };
  expect(() => check(flags)).not.toThrow();
});
