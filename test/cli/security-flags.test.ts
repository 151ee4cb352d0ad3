import { describe, expect, it } from 'vitest';
import { readSecurityOptions } from '../../src/cli/security-flags.ts';

describe('--security-opt', () => {
  it('is read in the forms that docker run takes', () => {
    expect(readSecurityOptions([])).toBeUndefined();
    expect(readSecurityOptions(['seccomp=p.json', 'no-new-privileges'])).toEqual({
      seccomp: { file: 'p.json' },
      noNewPrivileges: true,
    });
    expect(readSecurityOptions(['seccomp:unconfined', 'no-new-privileges:false'])).toEqual({
      seccomp: 'unconfined',
      noNewPrivileges: false,
    });
    expect(readSecurityOptions(['seccomp=builtin'])).toEqual({});
  });

  it.each(['seccomp=', 'seccomp', 'apparmor=x', 'label=disable', 'no-new-privileges=maybe', ''])(
    'refuses %j',
    (text) => {
      expect(() => readSecurityOptions([text])).toThrow(
        `invalid --security-opt "${text}": expected seccomp=FILE, seccomp=unconfined or no-new-privileges`,
      );
    },
  );
});

describe('--userns', () => {
  it('is auto or host', () => {
    expect(readSecurityOptions([], 'auto')).toEqual({ hasUserNamespace: true });
    expect(readSecurityOptions([], 'host')).toBeUndefined();
    expect(() => readSecurityOptions([], '')).toThrow('invalid --userns "": expected auto or host');
  });
});
