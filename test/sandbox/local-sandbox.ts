// A sandbox for the tests of one group: its files, and the embedded executor in this process.
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import { LocalRunner, SandboxFixture } from './sandbox-runner.ts';

interface LocalSandbox {
  readonly fixture: SandboxFixture;
  readonly runner: LocalRunner;
}

/** Called in a group: its fields are there while the group's tests run. */
export function useLocalSandbox(): LocalSandbox {
  const sandbox = {} as { fixture: SandboxFixture; runner: LocalRunner };
  beforeAll(() => {
    sandbox.fixture = new SandboxFixture('root:root');
    sandbox.runner = new LocalRunner(new EmbeddedExecutor({ stateDir: join(sandbox.fixture.dir, 'state') }));
  });
  afterAll(async () => {
    await sandbox.runner?.close();
    sandbox.fixture?.remove();
  });
  return sandbox;
}
