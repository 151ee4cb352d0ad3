// `--secret` and `--ssh` name files of this machine: one that is not there is a mistake, whether a step asks or not.
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { getSystemErrorMessage } from 'node:util';
import { TsbuildError } from '../../solver/errors.ts';
import type { BuildOptions } from '../cli/options.ts';

/** Throws TSB_SECRET_UNREADABLE, TSB_SSH_KEY. Variables are looked at when a step asks. */
export function checkForwarded({ secrets, agents }: Pick<BuildOptions, 'secrets' | 'agents'>, cwd: string): void {
  for (const { id, from } of secrets) {
    const problem = 'file' in from ? problemOf(resolve(cwd, from.file)) : undefined;
    if (problem === undefined || !('file' in from)) continue;
    const { file } = from;
    const message = `could not parse secrets: [id=${id},src=${file}]: failed to stat ${file}: ${problem}`;
    throw new TsbuildError('TSB_SECRET_UNREADABLE', message, {
      hint: 'paths are relative to where you stand; id=NAME,env=VARIABLE takes a variable',
    });
  }
  for (const { id, paths } of agents) {
    for (const path of paths.map((one) => resolve(cwd, one))) {
      const problem = problemOf(path);
      if (problem === undefined) continue;
      throw new TsbuildError('TSB_SSH_KEY', `ssh agent ${id}: cannot use the key ${path}: ${problem}`, {
        hint: '--ssh takes default, ID=SOCKET or ID=KEY',
      });
    }
  }
}

function problemOf(path: string): string | undefined {
  try {
    statSync(path);
    return undefined;
  } catch (error) {
    const errno = error instanceof Error && 'errno' in error ? Number(error.errno) : Number.NaN;
    return Number.isNaN(errno) ? String(error) : getSystemErrorMessage(errno);
  }
}
