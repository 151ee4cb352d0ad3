import { describe, expect, it } from 'vitest';
import { checksJSON, exitCodeOfChecks, renderChecks } from '../../src/doctor/check.ts';
import { rangeCommand } from '../../src/sandbox/user-namespace.ts';
import { checkKernel, checkSubordinateIds, checkUserNamespace } from '../../src/doctor/machine-checks.ts';

describe('a doctor’s report', () => {
  const checks = [
    { name: 'kernel', status: 'ok', fact: 'Linux' },
    { name: 'disk space', status: 'blocked', fact: 'none', fix: 'free some' },
  ] as const;

  it('aligns its columns, shows the fix below and ends with the verdict', () => {
    expect(renderChecks(checks)).toBe(
      'ok       kernel      Linux\nblocked  disk space  none\n                     fix: free some\ntsbuild cannot build here: disk space\n',
    );
    expect(renderChecks(checks.slice(0, 1))).toBe('ok       kernel  Linux\ntsbuild can build here\n');
  });

  it('says when builds work but what they make can differ', () => {
    const limited = { name: 'ids', status: 'limited', fact: 'one', fix: 'get more' } as const;
    const [first] = checks;
    expect(renderChecks([first, limited])).toMatch(/\ntsbuild can build here, with less than a full result: ids\n$/);
    expect(JSON.parse(checksJSON([first, limited]))).toMatchObject({ canBuild: true });
    expect([[first], [first, limited], checks].map(exitCodeOfChecks)).toEqual([0, 1, 1]);
  });

  it('is one JSON object for programs', () => {
    expect(JSON.parse(checksJSON(checks))).toEqual({ canBuild: false, checks });
  });
});

describe('the checks of a machine', () => {
  it('refuse a kernel that is too old and a machine the sandbox does not know', () => {
    expect(checkKernel('5.12.0', 'x64').status).toBe('ok');
    expect(checkKernel('6.1.0-18-amd64', 'arm64').status).toBe('ok');
    expect(checkKernel('5.11.9', 'x64')).toMatchObject({ status: 'blocked', fix: 'use Linux 5.12 or newer' });
    expect(checkKernel('6.1.0', 'riscv64').status).toBe('blocked');
  });

  it('advise a range that nobody has', () => {
    const range = (ids: string): string => `usermod --add-subuids ${ids} --add-subgids ${ids} USER`;
    expect(rangeCommand('')).toBe(range('100000-165535'));
    expect(rangeCommand('a:100000:65536\n# b\n\nc:165536:65536\n')).toBe(range('231072-296607'));
  });

  it('find a range limited that is too small for the owners of images', () => {
    expect(checkSubordinateIds('ranges', 65_537)).toMatchObject({
      status: 'ok',
      fact: '65537 ids through newuidmap',
    });
    expect(checkSubordinateIds('ranges', 11)).toEqual({
      name: 'subordinate ids',
      status: 'limited',
      fact: 'only 11 user or group ids are available, so images with files of ids from 11 on cannot be built',
      fix: `give the user a range of 65536 ids in /etc/subuid and /etc/subgid: as root, run ${rangeCommand()}`,
    });
    expect(checkSubordinateIds(undefined, 11)).toMatchObject({
      status: 'limited',
      fix: 'map a range of 65536 ids into it',
    });
  });

  it('need neither user namespace nor range as root', () => {
    expect([checkUserNamespace(undefined).status, checkSubordinateIds(undefined).status]).toEqual(['ok', 'ok']);
  });
});
