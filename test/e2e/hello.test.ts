import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Caller,
  hasPrograms,
  installCommand,
  isRoot,
  makeBase,
  outputOf,
  PROJECT,
  rootCaller,
  userCaller,
} from './harness.ts';

const install = installCommand();
const base = makeBase(install);

describe.each([
  { kind: 'root', make: rootCaller, runs: true },
  { kind: 'an ordinary user', make: userCaller, runs: isRoot && hasPrograms('newuidmap', 'runuser') },
])('fixtures/hello as $kind', ({ make, runs }) => {
  let caller: Caller;
  beforeAll(() => {
    if (runs) caller = make(install);
  });
  afterAll(() => caller?.dispose());

  const build = (...flags: string[]) =>
    caller.tsbuild([
      'build',
      '--progress=plain',
      '-t',
      'hello:1',
      '--build-context',
      `base=oci-layout://${base}`,
      ...flags,
      join(PROJECT, 'fixtures/hello'),
    ]);

  it.skipIf(!runs)(
    'builds with no registry in reach and prints the image ID [skipped: needs root to become another user]',
    () => {
      const idFile = join(caller.home, 'id');
      const result = build('--iidfile', idFile);
      expect(outputOf(result)).toContain('built by 0 in /hello');
      expect(result.status).toBe(0);
      const imageID = readFileSync(idFile, 'utf8');
      expect(imageID).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(result.stdout.trim().split('\n').at(-1)).toBe(imageID);
    },
  );

  it.skipIf(!runs)('says CACHED for every step the second time [skipped: needs root to become another user]', () => {
    const first = build();
    const second = build();
    const steps = [...outputOf(second).matchAll(/^#(\d+) \[[^\]]*\d\/\d+\] .*$/gm)].map((match) => match[1]);
    expect(new Set(steps).size).toBe(3);
    for (const step of steps) expect(outputOf(second)).toContain(`#${step} CACHED\n`);
    expect(second.stdout).toBe(first.stdout);
  });

  it.skipIf(!runs)('lists the image under its name [skipped: needs root to become another user]', () => {
    const images = caller.tsbuild(['images']);
    expect(images.stdout).toMatch(/^hello +1 +[0-9a-f]{12} /m);
  });
});
