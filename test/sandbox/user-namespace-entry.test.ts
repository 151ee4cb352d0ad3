// Entering a user namespace for real, as users with and without subordinate ids.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addUser, cannotMakeUsers, removeUser } from './sandbox-runner.ts';

const WITH_IDS = `tsbuild-ids-${process.pid}`;
const WITHOUT_IDS = `tsbuild-noids-${process.pid}`;
const CHILD = fileURLToPath(new URL('user-namespace-child.ts', import.meta.url));
const skip = cannotMakeUsers();

function runAs(
  user: string,
  args: readonly string[],
): { out: unknown; status: number | null; signal: string | null; pid: number } {
  const command = ['--reuid', user, '--regid', user, '--init-groups', process.execPath, CHILD, ...args];
  const { stdout, status, signal, pid } = spawnSync('setpriv', command, { encoding: 'utf8' });
  return { out: JSON.parse(stdout || 'null'), status, signal, pid };
}

describe.skipIf(skip !== undefined)(`entering a user namespace${skip ? ` [skipped: ${skip}]` : ''}`, () => {
  beforeAll(() => {
    addUser(WITH_IDS);
    addUser(WITHOUT_IDS, ['--system']);
  });
  afterAll(() => {
    removeUser(WITH_IDS);
    removeUser(WITHOUT_IDS);
  });

  it('makes root of a user with subordinate ids, in the same process', () => {
    const { out, status, pid } = runAs(WITH_IDS, ['tell', 'a b']);
    expect(out).toEqual({ uid: 0, ranges: 2, setgroups: 'allow', pid, args: ['tell', 'a b'] });
    expect(status).toBe(0);
  });

  it('passes exit code and signal on', () => {
    expect(runAs(WITH_IDS, ['exit', '7']).status).toBe(7);
    expect(runAs(WITH_IDS, ['die']).signal).toBe('SIGTERM');
  });

  it('maps one id and warns without subordinate ids', () => {
    const { out } = runAs(WITHOUT_IDS, ['tell']);
    expect(out).toMatchObject({
      uid: 0,
      ranges: 1,
      setgroups: 'deny',
      warning: expect.stringMatching(/^only one user id is available, .* \/etc\/subuid and \/etc\/subgid/),
    });
  });

  it('names the setting that forbids it', () => {
    const inner = `echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --reuid 1 --regid 1 --clear-groups ${process.execPath} ${CHILD} tell`;
    const { out, status } = runAs(WITH_IDS, ['shell', inner]);
    expect(out).toEqual({
      code: 'TSB_SANDBOX_USER_NAMESPACE_DENIED',
      hint: 'as root, run: sysctl -w user.max_user_namespaces=15000 (or build as root)',
    });
    expect(status).toBe(1);
  });
});
