// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are Dockerfiles
// The build checks that planning and converting find.
import { describe, expect, test } from 'vitest';
import { checkDockerfile } from '../../frontend/check.ts';
import { convertDockerfile } from '../../frontend/convert.ts';
import type { ConvertOptions } from '../../frontend/convert-options.ts';
import type { LintWarning } from '../../frontend/instruction.ts';
import { parseDockerfile } from '../../frontend/parse.ts';
import { TsbuildError } from '../../solver/errors.ts';
import type { ConvertTextOptions } from './convert-dockerfile.ts';
import { convertOptions, convertText, messageOf } from './convert-dockerfile.ts';
import { FakeImageResolver } from './fake-image-resolver.ts';

const LINUX_ARM64 = { os: 'linux', architecture: 'arm64' };

async function warningsOf(text: string, options?: ConvertTextOptions): Promise<readonly string[]> {
  const resolver = new FakeImageResolver({ 'docker.io/library/x:latest': {} });
  const { warnings } = await convertText(text, { resolver, ...options });
  return warnings.map(({ rule, detail, range }) => `${rule}: ${detail} (line ${range.start.line})`);
}

test.each([
  ['FROM scratch AS Base\n', "StageNameCasing: Stage name 'Base' should be lowercase (line 1)"],
  ['FROM scratch as a\n', "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"],
  [
    'from scratch\nENV A=1\nENV B=1\n',
    "ConsistentInstructionCasing: Command 'from' should match the case of the command majority (uppercase) (line 1)",
  ],
  [
    'FROM scratch AS a\nFROM scratch AS a\n',
    'DuplicateStageName: Duplicate stage name "a", stage names should be unique (line 2)',
  ],
  [
    'FROM scratch AS scratch\n',
    'ReservedStageName: Stage name should not use the same name as reserved stage "scratch" (line 1)',
  ],
  [
    'FROM scratch\nCMD x\n',
    'JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)',
  ],
  [
    'FROM scratch\nMAINTAINER me\n',
    'MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 2)',
  ],
  [
    'ARG TAGX=x\nFROM x$TAGY\n',
    "UndefinedArgInFrom: FROM argument 'TAGY' is not declared (did you mean TAGX?) (line 2)",
  ],
  [
    'FROM scratch\nWORKDIR a\nWORKDIR b\n',
    'WorkdirRelativePath: Relative workdir "a" can have unexpected results if the base image changes (line 2)',
  ],
  [
    'FROM scratch\nENV FOO=1\nLABEL a=$FO\n',
    "UndefinedVar: Usage of undefined variable '$FO' (did you mean $FOO?) (line 3)",
  ],
  [
    'FROM scratch\nCMD ["a"]\nCMD ["b"]\n',
    'MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 2)',
  ],
  [
    'FROM scratch\nENV A b\n',
    'LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format (line 2)',
  ],
  [
    'FROM --platform=$TARGETPLATFORM scratch\n',
    'RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior (line 1)',
  ],
  [
    'FROM scratch\nARG X_TOKEN\n',
    'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "X_TOKEN") (line 2)',
  ],
  [
    'FROM --platform=linux/amd64 scratch AS b\n',
    'FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64" (line 1)',
  ],
  [
    'FROM scratch\nEXPOSE 53/UDP\n',
    "ExposeProtoCasing: Defined protocol '53/UDP' in EXPOSE instruction should be lowercase (line 2)",
  ],
  [
    'FROM scratch\nEXPOSE 127.0.0.1:80:80\n',
    "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80' (line 2)",
  ],
])('%j warns', async (text, warning) => {
  expect(await warningsOf(text)).toEqual([warning]);
});

test.each([
  'FROM scratch AS base\n',
  'FROM --platform=linux/amd64 scratch AS b-amd64\n',
  'FROM scratch\nSHELL ["sh"]\nCMD x\n',
  'FROM scratch\nARG PUBLIC_KEY\nENV A=$PUBLIC_KEY\n',
  'FROM scratch\nWORKDIR /a\nWORKDIR b\n',
])('%j does not warn', async (text) => {
  expect(await warningsOf(text)).toEqual([]);
});

describe('checks against the world', () => {
  test('a base without a good default is warned about, though the build arg is given', async () => {
    expect(await warningsOf('ARG B\nFROM $B\n', { buildArgs: { B: 'x' } })).toEqual([
      'InvalidDefaultArgInFrom: Default value for ARG $B results in empty or invalid base image name (line 2)',
    ]);
  });

  test('a base of another platform is warned about', async () => {
    expect(await warningsOf('FROM x\n', { targetPlatform: LINUX_ARM64 })).toEqual([
      'InvalidBaseImagePlatform: Base image x was pulled with platform "linux/amd64", expected "linux/arm64" for current build (line 1)',
    ]);
  });

  test('a source that the ignore file keeps out is warned about, unless something is taken back in', async () => {
    const text = 'FROM scratch\nCOPY ignored.txt /\nADD a /\n';
    expect(await warningsOf(text, { ignorePatterns: ['ignored.*'] })).toEqual([
      'CopyIgnoredFile: Attempting to Copy file "ignored.txt" that is excluded by .dockerignore (line 2)',
    ]);
    expect(await warningsOf(text, { ignorePatterns: ['ignored.*', '!b'] })).toEqual([]);
  });
});

describe('a conversion that fails', () => {
  const resolver = new FakeImageResolver({});

  async function warningsBefore(text: string, changes: Partial<ConvertOptions> = {}): Promise<readonly string[]> {
    const options = convertOptions(text, changes);
    const calls: (readonly LintWarning[])[] = [];
    const converted = convertDockerfile(parseDockerfile(options.file), options, {
      resolver,
      onWarnings: (warnings) => calls.push(warnings),
    });
    await expect(converted).rejects.toThrow(TsbuildError);
    expect(calls).toHaveLength(1);
    return calls.flat().map(({ rule, range }) => `${rule} (line ${range.start.line})`);
  }

  test.each([
    ['ARG A\nFROM $A\n', ['InvalidDefaultArgInFrom (line 2)']],
    ['FROM $A\n', ['InvalidDefaultArgInFrom (line 1)', 'UndefinedArgInFrom (line 1)']],
    [
      'ARG A\nFROM $A AS Base\nMAINTAINER me\n',
      ['InvalidDefaultArgInFrom (line 2)', 'StageNameCasing (line 2)', 'MaintainerDeprecated (line 3)'],
    ],
    ['ARG A=${B:?no B}\nFROM $A AS Base\n', ['StageNameCasing (line 2)']],
    ['FROM nosuch as Base\n', ['FromAsCasing (line 1)', 'StageNameCasing (line 1)']],
    ['FROM scratch AS a\nCOPY --from=a x /\nWORKDIR b\n', []],
    ['FROM scratch\nWORKDIR b\nEXPOSE 1/x\n', ['WorkdirRelativePath (line 2)']],
    ['# check=skip=StageNameCasing\nFROM nosuch AS Base\n', []],
  ])('%j tells its warnings first', async (text, warnings) => {
    expect([...(await warningsBefore(text))].sort()).toEqual([...warnings].sort());
  });

  test('fails for what it fails for, also when warnings are errors', async () => {
    expect(await messageOf('# check=error=true\nARG A\nFROM $A AS Base\n')).toBe('base name ($A) should not be blank');
  });

  test('has the same warnings when it is checked', async () => {
    const options = convertOptions('ARG A\nFROM $A AS Base\n');
    const report = await checkDockerfile(parseDockerfile(options.file), options, { resolver });
    expect(report.warnings.map(({ rule }) => rule).sort()).toEqual(['InvalidDefaultArgInFrom', 'StageNameCasing']);
    expect(report.error?.message).toBe('base name ($A) should not be blank');
  });
});

describe('switching checks off and on', () => {
  const text = 'FROM scratch as A\nCMD x\n';

  test('the directive and the build arg name rules to skip', async () => {
    expect(await warningsOf(`# check=skip=FromAsCasing,StageNameCasing\n${text}`)).toHaveLength(1);
    expect(await warningsOf(`# check=skip=all\n${text}`)).toEqual([]);
    expect(await warningsOf(text, { buildArgs: { BUILDKIT_DOCKERFILE_CHECK: 'skip=all' } })).toEqual([]);
  });

  test('a comment above an instruction is for that one', async () => {
    expect(await warningsOf('FROM scratch\n# check=skip=JSONArgsRecommended\nCMD x\nENTRYPOINT y\n')).toHaveLength(1);
  });

  test('error=true makes the build fail', async () => {
    expect(await messageOf(`# check=error=true\n${text}`)).toBe(
      'lint violation found for rules: StageNameCasing, FromAsCasing, JSONArgsRecommended',
    );
  });

  test('an unknown option is refused', async () => {
    expect(await messageOf(`# check=foo=1\n${text}`)).toBe('invalid check option "foo"');
  });
});
