// `--check` and `--call`, and warnings of a build.
import { afterAll, expect, it } from 'vitest';
import { outputOf, rootCaller, writeContext } from './harness.ts';

const caller = rootCaller();
afterAll(() => caller.dispose());

const WARNED = 'FROM scratch AS Base\nMAINTAINER me <me@x>\nCOPY Dockerfile /\n';
const context = (text: string) => writeContext(caller, { Dockerfile: text });

it('prints each warning with its lines and ends with 1 (--check)', () => {
  const result = caller.tsbuild(['--check', context(WARNED)]);
  expect(result.status).toBe(1);
  expect(result.stdout).toBe(`Check complete, 2 warnings have been found!

WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
Stage name 'Base' should be lowercase
Dockerfile:1
--------------------
   1 | >>> FROM scratch AS Base
   2 |     MAINTAINER me <me@x>
   3 |     COPY Dockerfile /
--------------------

WARNING: MaintainerDeprecated - https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/
Maintainer instruction is deprecated in favor of using label
Dockerfile:2
--------------------
   1 |     FROM scratch AS Base
   2 | >>> MAINTAINER me <me@x>
   3 |     COPY Dockerfile /
   4 |     
--------------------
`);
});

it('says so when a check finds nothing, and ends with 0', () => {
  const result = caller.tsbuild(['--check', context('FROM scratch\nCOPY Dockerfile /\n')]);
  expect(result.stdout).toBe('Check complete, no warnings found.\n');
  expect(result.status).toBe(0);
});

it('checks every stage without --target, and only what the target needs with it', () => {
  const dir = context('FROM scratch AS a\nWORKDIR x\nFROM scratch AS b\nCMD x\n');
  expect(caller.tsbuild(['--check', dir]).stdout).toContain('2 warnings');
  expect(caller.tsbuild(['--check', '--target=a', dir]).stdout).toMatch(/1 warning has[\s\S]*WorkdirRelativePath/);
});

it('reports a Dockerfile that is wrong as a build does, with 1', () => {
  const result = caller.tsbuild(['--call=check', context('FROM scratch\nRNU x\n')]);
  expect(result.status).toBe(1);
  expect(result.stdout).toBe('');
  expect(result.stderr).toContain(
    'error: dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)',
  );
});

it('gives BuildKit its JSON of a check, errors included', () => {
  const result = caller.tsbuild(['--call=lint,format=json', context('FROM scratch as a\nCOPY --from=a x /\n')]);
  const report: unknown = JSON.parse(result.stdout);
  const line = (number: number) => ({ ranges: [{ start: { line: number }, end: { line: number } }] });
  expect(report).toMatchObject({
    warnings: [
      { ruleName: 'FromAsCasing', detail: "'as' and 'FROM' keywords' casing do not match", location: line(1) },
    ],
    sources: [{ filename: 'Dockerfile', language: 'Dockerfile' }],
    buildError: { message: 'circular dependency detected on stage: a', location: line(2) },
  });
  expect(result.status).toBe(1);
});

it('prints outline and targets as tables', () => {
  const dir = context(
    'FROM scratch AS base\n# A is first\nARG A=1\nRUN --mount=type=secret,id=key,required true\nFROM base\nARG B\n',
  );
  expect(caller.tsbuild(['--call=outline', dir]).stdout).toBe(
    'BUILD ARG   VALUE   DESCRIPTION\nA           1       is first\nB                   \n\nSECRET   REQUIRED\nkey      true\n\n',
  );
  expect(caller.tsbuild(['--call=targets', dir]).stdout).toBe('TARGET      DESCRIPTION\nbase        \n(default)   \n');
  const json: unknown = JSON.parse(caller.tsbuild(['--call=targets,format=json', dir]).stdout);
  expect(json).toMatchObject({
    targets: [
      { name: 'base', base: 'scratch' },
      { default: true, base: 'base' },
    ],
  });
});

it('refuses a method it does not know', () => {
  const result = caller.tsbuild(['--call=lnt', '.']);
  expect(result.stderr).toContain('error: invalid --call "lnt": expected check, outline, targets or build');
  expect(result.status).toBe(2);
});

it('prints warnings in a build under the step that loads the Dockerfile', () => {
  const output = outputOf(caller.tsbuild(['--progress=plain', context(WARNED)]));
  expect(output).toContain("#1 WARN: StageNameCasing: Stage name 'Base' should be lowercase (line 1)\n");
  expect(output).toContain(
    '#1 WARN: MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)\n',
  );
});

it('skips rules by directive, comment and build arg', () => {
  const build = (text: string, ...flags: string[]) =>
    outputOf(caller.tsbuild(['--progress=plain', ...flags, context(text)]));
  expect(build(`# check=skip=all\n${WARNED}`)).not.toContain('WARN');
  expect(build(WARNED.replace('MAINTAINER', '# check=skip=MaintainerDeprecated\nMAINTAINER'))).not.toContain(
    'Deprecated',
  );
  const flag = '--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=StageNameCasing';
  expect(build(`# check=skip=all\n${WARNED}`, flag)).toMatch(/WARN: MaintainerDeprecated/);
});

it('fails before any step runs when warnings are errors, having printed them', () => {
  const result = caller.tsbuild(['--progress=plain', context(`# check=error=true\n${WARNED}`)]);
  expect(result.status).toBe(1);
  expect(result.stderr).toContain('error: lint violation found for rules: StageNameCasing, MaintainerDeprecated');
  expect(result.stderr).toContain('WARN: StageNameCasing');
  expect(result.stderr).not.toContain('COPY');
});

it('prints warnings before the error of a build that fails', () => {
  const { stderr } = caller.tsbuild(['--progress=plain', context('FROM scratch AS A\nSTOPSIGNAL foo\n')]);
  expect(stderr).toMatch(/WARN: StageNameCasing[\s\S]*error: invalid signal: foo/);
});
