// The values of `--secret`, read when a step asks for them and kept nowhere.
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import type { SecretOption } from '../cli/options.ts';
import type { SecretSource } from '../ops/exec-mounts.ts';
import { codeOf } from '../sys/error-code.ts';

/** Throws TSB_SECRET_UNREADABLE, naming the file or variable and never the value. */
export function openSecrets(
  secrets: readonly SecretOption[],
  { cwd, env }: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): SecretSource {
  return {
    async read(id) {
      const secret = secrets.find((candidate) => candidate.id === id);
      if (secret === undefined) return undefined;
      if ('env' in secret.from) return readVariable(id, secret.from.env, env);
      return await readSecretFile(id, resolve(cwd, secret.from.file));
    },
  };
}

function readVariable(id: string, name: string, env: NodeJS.ProcessEnv): Buffer {
  const value = env[name];
  if (value !== undefined) return Buffer.from(value);
  throw new TsbuildError('TSB_SECRET_UNREADABLE', `secret ${id}: environment variable ${name} is not set`);
}

async function readSecretFile(id: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new TsbuildError('TSB_SECRET_UNREADABLE', `secret ${id}: cannot read ${path}: ${codeOf(error)}`);
  }
}
