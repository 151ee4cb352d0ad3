import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeCallers, makeBase, outputOf, PROJECT } from './harness.ts';

const base = makeBase();

describeCallers('fixtures/hello', {}, (caller) => {
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

  it('builds with no registry in reach and prints the image ID', () => {
    const idFile = join(caller.home, 'id');
    const result = build('--iidfile', idFile);
    expect(outputOf(result)).toContain('built by 0 in /hello');
    expect(result.status).toBe(0);
    const imageID = readFileSync(idFile, 'utf8');
    expect(imageID).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(result.stdout.trim().split('\n').at(-1)).toBe(imageID);
  });

  it('says CACHED for every step the second time', () => {
    const first = build();
    const second = build();
    const steps = [...outputOf(second).matchAll(/^#(\d+) \[[^\]]*\d\/\d+\] .*$/gm)].map((match) => match[1]);
    expect(new Set(steps).size).toBe(3);
    for (const step of steps) expect(outputOf(second)).toContain(`#${step} CACHED\n`);
    expect(second.stdout).toBe(first.stdout);
  });

  it('lists the image under its name', () => {
    const images = caller.tsbuild(['images']);
    expect(images.stdout).toMatch(/^hello +1 +[0-9a-f]{12} /m);
  });
});
