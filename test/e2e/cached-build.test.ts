// A build in which nothing runs pays for nothing that says why steps run.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { installCommand, isRoot, makeBase, outputOf, rootCaller, writeContext } from './harness.ts';

it.skipIf(!isRoot)('a cached build loads no module that explains [skipped: needs root]', () => {
  const install = installCommand();
  const base = makeBase(install);
  const caller = rootCaller(install);
  const context = writeContext(caller, { Dockerfile: 'FROM base\nARG N=1\nCOPY f /\nRUN echo $N\n', f: '' });
  const build = (...flags: string[]) => {
    return caller.tsbuild([
      'build',
      '--progress=plain',
      '--build-context',
      `base=oci-layout://${base}`,
      ...flags,
      context,
    ]);
  };
  expect(build().status).toBe(0);
  const bundle = join(install, 'dist', 'main.js');
  cpSync(bundle, `${bundle}.whole`);
  const text = readFileSync(bundle, 'utf8');
  // How the bundle writes a module that is evaluated when it is first asked for.
  const mined = text.replaceAll(
    /"src\/explain\/([^"]+)"\(\) \{/g,
    '"src/explain/$1"() { throw new Error("$1 is loaded");',
  );
  expect(mined.split(' is loaded').length).toBeGreaterThan(5);
  writeFileSync(bundle, mined);
  const cached = build();
  expect(cached.status, outputOf(cached)).toBe(0);
  expect(outputOf(cached)).toMatch(/RUN echo 1\n#\d+ CACHED/);
  // Else nothing was shown.
  expect(outputOf(build('--build-arg', 'N=2'))).toContain(' is loaded');
  caller.dispose();
});
