// Whether a program is an OCI runtime: any other would be believed when it ends with 0.
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { findExecutable } from './user-namespace.ts';

const TIMEOUT_MS = 30_000;
/** Runtimes name the version of the specification they follow: `spec: 1.0.2`. */
const NAMES_SPEC = /^\s*(?:OCI )?specs?\s*:/im;
const MISSES_CONTAINER = /not (?:exist|found)|no such|unable to (?:find|load)|could not (?:find|load)/i;

/** The executable of a name on PATH, or of a path, which need not be there. Throws TSB_SANDBOX_RUNTIME_NOT_FOUND. */
export function findRuntime(name: string): string {
  const path = name.includes('/') ? resolve(name) : findExecutable(name, ['/usr/sbin', '/usr/local/sbin', '/sbin']);
  if (path !== undefined) return path;
  throw new TsbuildError('TSB_SANDBOX_RUNTIME_NOT_FOUND', `the OCI runtime "${name}" is not on PATH`, {
    hint: 'install it, give its path, or leave out --oci-runtime to use the built-in sandbox',
  });
}

/** Asks it; throws TSB_SANDBOX_RUNTIME_UNKNOWN. What cannot be started at all is left to the run. */
export async function checkRuntime(path: string, name: string, emptyDir: string): Promise<void> {
  const version = await ask(path, ['--version']);
  if (version === undefined || (version.isOk && NAMES_SPEC.test(version.text))) return;
  // One that names none must at least know its commands, and that there is no such container.
  const state = await ask(path, ['--root', emptyDir, 'state', 'tsbuild-no-such-container']);
  if (state === undefined || (!state.isOk && MISSES_CONTAINER.test(state.text))) return;
  const [first = ''] = (version.text || state.text).trim().split('\n');
  throw new TsbuildError(
    'TSB_SANDBOX_RUNTIME_UNKNOWN',
    `${name} is not an OCI runtime: it names no version of the specification, and knows no command "state"`,
    {
      hint: `--oci-runtime (or TSBUILD_OCI_RUNTIME) takes runc, crun, or another program with their command line; ${name} --version ${first === '' ? 'says nothing' : `says: ${first}`}`,
    },
  );
}

interface Answer {
  readonly isOk: boolean;
  readonly text: string;
}

/** Undefined when it could not be started. */
async function ask(path: string, args: readonly string[]): Promise<Answer | undefined> {
  return await new Promise((resolve) => {
    const child = execFile(path, args, { timeout: TIMEOUT_MS, encoding: 'utf8' }, (error, stdout, stderr) => {
      const isStarted = child.pid !== undefined;
      resolve(isStarted ? { isOk: error === null, text: `${stdout}${stderr}` } : undefined);
    });
    child.stdin?.end();
  });
}
