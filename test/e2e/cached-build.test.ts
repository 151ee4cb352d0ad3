// A build in which nothing runs pays for nothing that says why steps run.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeRoot, installCommand, makeBase, outputOf, writeContext } from './harness.ts';

describeRoot('a cached build', {}, (caller) => {
  it('loads no module that explains', () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nARG N=1\nCOPY f /\nRUN echo $N\n', f: '' });
    const flags = ['build', '--progress=plain', '--build-context', `base=oci-layout://${makeBase()}`];
    expect(caller.tsbuild([...flags, context]).status).toBe(0);
    const place = join(caller.home, 'mined');
    cpSync(installCommand(), place, { recursive: true });
    const bundle = join(place, 'dist', 'main.js');
    // How the bundle writes a module that is evaluated when it is first asked for.
    const mined = readFileSync(bundle, 'utf8').replaceAll(
      /"src\/explain\/([^"]+)"\(\) \{/g,
      '"src/explain/$1"() { throw new Error("$1 is loaded");',
    );
    expect(mined.split(' is loaded').length).toBeGreaterThan(5);
    writeFileSync(bundle, mined);
    const build = (...more: string[]) =>
      caller.run(join(place, 'node'), [join(place, 'dist', 'tsbuild.js'), ...flags, ...more, context]);
    const cached = build();
    expect(cached.status, outputOf(cached)).toBe(0);
    expect(outputOf(cached)).toMatch(/RUN echo 1\n#\d+ CACHED/);
    // Else nothing was shown.
    expect(outputOf(build('--build-arg', 'N=2'))).toContain(' is loaded');
  });
});
