import { describe, expect, test } from 'vitest';
import { lintError, parseLintOptions, selectWarnings } from '../../frontend/lint-options.ts';
import { LINT_RULES, type LintRuleName, lintRuleURL } from '../../frontend/lint-rules.ts';
import { lintFile, lintStage } from '../../frontend/lint-text.ts';
import { parseDockerfile } from '../../frontend/parse.ts';

function instructionsOf(text: string) {
  return parseDockerfile({ name: 'Dockerfile', text }).instructions;
}

function fileWarnings(text: string) {
  return lintFile(instructionsOf(text)).map(
    ({ rule, detail, range }) => `${rule}: ${detail} (line ${range.start.line})`,
  );
}

function stageWarnings(text: string) {
  return lintStage(instructionsOf(text)).map(
    ({ rule, detail, range }) => `${rule}: ${detail} (line ${range.start.line})`,
  );
}

test('there are 22 rules, each but one with its page', () => {
  const rules = Object.keys(LINT_RULES) as LintRuleName[];
  expect(rules).toHaveLength(22);
  expect(rules.filter((rule) => lintRuleURL(rule) === '')).toEqual(['InvalidBaseImagePlatform']);
  expect(
    ['JSONArgsRecommended', 'FromAsCasing', 'SecretsUsedInArgOrEnv'].map((rule) => lintRuleURL(rule as LintRuleName)),
  ).toEqual([
    'https://docs.docker.com/go/dockerfile/rule/json-args-recommended/',
    'https://docs.docker.com/go/dockerfile/rule/from-as-casing/',
    'https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/',
  ]);
});

describe('a file', () => {
  test.each([
    ['FROM a AS Base', "StageNameCasing: Stage name 'Base' should be lowercase (line 1)"],
    ['FROM a as b', "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"],
    [
      'FROM a\nRUN x\nrun y',
      "ConsistentInstructionCasing: Command 'run' should match the case of the command majority (uppercase) (line 3)",
    ],
    ['FROM a AS x\nFROM b AS X', 'DuplicateStageName: Duplicate stage name "x", stage names should be unique (line 2)'],
    [
      'FROM a AS context',
      'ReservedStageName: Stage name should not use the same name as reserved stage "context" (line 1)',
    ],
    ['MAINTAINER me', 'MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label (line 1)'],
    [
      'FROM --platform=$TARGETPLATFORM a',
      'RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior (line 1)',
    ],
    [
      'FROM --platform=linux/amd64 a',
      'FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64" (line 1)',
    ],
    [
      '# the base\nFROM a AS base',
      'InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>` (line 2)',
    ],
    [
      'ARG API_TOKEN\nFROM a',
      'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "API_TOKEN") (line 1)',
    ],
  ])('%j', (text, expected) => {
    expect(fileWarnings(text)).toContain(expected);
  });

  test('without faults has no warnings', () => {
    const text =
      'ARG A\n# base the base\nFROM --platform=linux/amd64 a AS base-amd64\nFROM --platform=$BUILDPLATFORM b\nRUN x\n';
    expect(fileWarnings(text.replace('# base', '# base-amd64'))).toEqual([]);
  });
});

describe('a stage', () => {
  test.each([
    [
      'CMD a\nCMD ["b"]',
      [
        'JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 1)',
        'MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used (line 1)',
      ],
    ],
    ['SHELL ["/bin/sh", "-c"]\nENTRYPOINT a', []],
    [
      'WORKDIR a\nWORKDIR b',
      ['WorkdirRelativePath: Relative workdir "a" can have unexpected results if the base image changes (line 1)'],
    ],
    [
      'LABEL a b',
      ['LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format (line 1)'],
    ],
    [
      'ENV DB_PASSWORD=x TOKEN_FILE=y MONKEY=z',
      ['SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "DB_PASSWORD") (line 1)'],
    ],
    [
      'EXPOSE 53/UDP',
      ["ExposeProtoCasing: Defined protocol '53/UDP' in EXPOSE instruction should be lowercase (line 1)"],
    ],
    [
      'EXPOSE 127.0.0.1:80:80',
      [
        "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80' (line 1)",
      ],
    ],
  ])('%j', (text, expected) => {
    expect(stageWarnings(text)).toEqual(expected);
  });
});

describe('options', () => {
  test('skip rules, in the file and above an instruction, and let experimental ones through', () => {
    const instructions = instructionsOf('# what\nFROM a AS Base\n# check=skip=MaintainerDeprecated\nMAINTAINER x\n');
    const select = (text: string) =>
      selectWarnings(lintFile(instructions), parseLintOptions(text), instructions).map(({ rule }) => rule);
    expect(select('')).toEqual(['StageNameCasing']);
    expect(select('skip=StageNameCasing; experimental=all')).toEqual(['InvalidDefinitionDescription']);
    expect(select('skip=all')).toEqual([]);
  });

  test('make warnings an error that names the rules', () => {
    const warnings = lintFile(instructionsOf('FROM a AS Base\nrun x\n'));
    const error = lintError(
      warnings.filter(({ rule }) => rule !== 'InvalidDefinitionDescription'),
      parseLintOptions('error=true'),
    );
    expect(error?.message).toBe('lint violation found for rules: StageNameCasing, ConsistentInstructionCasing');
    expect(lintError(warnings, parseLintOptions(''))).toBeUndefined();
  });

  test.each([
    ['x', 'invalid check option "x"'],
    ['x=1', 'invalid check option "x"'],
    ['error=x', 'failed to parse check option "error=x": strconv.ParseBool: parsing "x": invalid syntax'],
  ])('%s is refused', (text, message) => {
    expect(() => parseLintOptions(text)).toThrow(message);
  });
});
