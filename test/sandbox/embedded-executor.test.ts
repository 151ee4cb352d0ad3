import { afterAll, beforeAll } from 'vitest';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import { executorSuite } from './executor-suite.ts';
import { mountsSuite } from './mounts-suite.ts';
import { addUser, cannotMakeUsers, cannotRun, LocalRunner, removeUser, UserRunner } from './sandbox-runner.ts';

const USER = `tsbuild-test-${process.pid}`;
const skip = cannotRun();

const root = {
  skip,
  owner: () => 'root:root',
  makeRunner: (stateDir: string) => new LocalRunner(new EmbeddedExecutor({ stateDir })),
  isRootless: false,
};
executorSuite('the embedded executor as root', root);
mountsSuite('the embedded executor as root', root);

const rootless = {
  skip: skip ?? cannotMakeUsers(),
  owner: () => `${USER}:${USER}`,
  makeRunner: (stateDir: string) => new UserRunner(USER, stateDir),
  isRootless: true,
};

beforeAll(() => {
  if (rootless.skip === undefined) addUser(USER);
});
afterAll(() => {
  if (rootless.skip === undefined) removeUser(USER);
});

executorSuite('the embedded executor as an ordinary user', rootless);
mountsSuite('the embedded executor as an ordinary user', rootless);
