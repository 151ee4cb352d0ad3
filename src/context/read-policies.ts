// The file of `--source-policy-file`.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseSourcePolicies, type SourcePolicy } from '../../frontend/source-policy.ts';
import { TsbuildError } from '../../solver/errors.ts';
import { codeOf } from '../sys/error-code.ts';

/** Throws TSB_POLICY_UNREADABLE, TSB_POLICY_INVALID. */
export function readPolicies(path: string, cwd: string): readonly SourcePolicy[] {
  return parseSourcePolicies(read(path, cwd));
}

function read(path: string, cwd: string): string {
  try {
    return readFileSync(resolve(cwd, path), 'utf8');
  } catch (error) {
    throw new TsbuildError(
      'TSB_POLICY_UNREADABLE',
      `failed to read source policy file: cannot read ${path}: ${codeOf(error)}`,
      {
        exitCode: 2,
      },
    );
  }
}
