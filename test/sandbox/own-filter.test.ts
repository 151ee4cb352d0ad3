// Steps under a seccomp profile of the user's that refuses what starting them takes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { machineArch } from '../../src/sandbox/sandbox-host.ts';
import { readSeccompFile } from '../../src/sandbox/seccomp-file.ts';
import { describeNeeding } from '../needs.ts';
import { useLocalSandbox } from './local-sandbox.ts';

describeNeeding(['root', '/bin/busybox'], 'a step with a seccomp profile of the user’s', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsbuild-profile-'));
  const sandbox = useLocalSandbox();
  afterAll(() => rmSync(dir, { recursive: true }));

  const run = (profile: unknown) => {
    const path = join(dir, 'profile.json');
    writeFileSync(path, JSON.stringify(profile));
    const seccomp = readSeccompFile(path, machineArch());
    return sandbox.runner.run(sandbox.fixture.spec('echo works', { network: 'host', more: { seccomp } }));
  };
  const NEEDED = 'capset, execve, exit_group, faccessat, setgroups, setresgid and setresuid';

  it.each([
    ['EPERM', 1],
    ['ENOSYS', 38],
  ])('says what the profile must allow when it denies everything with %s', async (name, defaultErrnoRet) => {
    const newest = ['cachestat', 'futex_requeue', 'mseal', 'statmount', 'listmount', 'fchmodat2', 'map_shadow_stack'];
    const { error } = await run({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet,
      syscalls: [{ names: newest, action: 'SCMP_ACT_ALLOW' }],
    });
    expect(error).toEqual({
      code: 'TSB_SANDBOX_SETUP_FAILED',
      message: `the sandbox could not become the user 0:0: setgroups: ${name}`,
      hint: `the seccomp profile denies setgroups: starting a process takes ${NEEDED}`,
    });
  });

  it('says what the profile must allow when it denies all there is', async () => {
    const { error } = await run({ defaultAction: 'SCMP_ACT_ERRNO' });
    expect(error?.hint).toBe(`the seccomp profile denies setgroups: starting a process takes ${NEEDED}`);
  });

  it('says so when the command may not be executed', async () => {
    const syscalls = [{ names: ['execve'], action: 'SCMP_ACT_ERRNO' }];
    const { status } = await run({ defaultAction: 'SCMP_ACT_ALLOW', syscalls });
    expect(status?.execFailure).toEqual({
      kind: 'other',
      message: 'exec: "/bin/sh": EPERM',
      hint: `the seccomp profile denies execve: starting a process takes ${NEEDED}`,
    });
  });

  it('needs no call for the filter itself', async () => {
    const syscalls = [{ names: ['getpid', 'seccomp', 'prctl'], action: 'SCMP_ACT_ERRNO' }];
    const { stdout } = await run({ defaultAction: 'SCMP_ACT_ALLOW', syscalls });
    expect(stdout.toString()).toBe('works\n');
  });
});
