// Who one is to a registry: Docker's config.json and the credential helpers it names.
// https://docs.docker.com/reference/cli/docker/login/#configure-the-credential-store
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { asRecord } from '../image/untrusted-json.ts';
import { codeOf } from '../sys/error-code.ts';

/** Never shown: messages say where they were looked for, not what they are. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** Traded for short-lived tokens at the registry's token server. */
  | { readonly kind: 'identityToken'; readonly token: string }
  /** Sent as it is. */
  | { readonly kind: 'registryToken'; readonly token: string };

/** Empty for a registry nobody has logged in to. */
export interface FoundCredentials {
  readonly credentials?: Credentials;
  /** Why a credential helper could not be asked. */
  readonly problem?: string;
}

/** The port to whatever keeps credentials. */
export interface CredentialSource {
  /** For messages: the file that is looked at. */
  readonly place: string;
  lookup(domain: string): Promise<FoundCredentials>;
}

interface DockerConfig {
  readonly auths: Readonly<Record<string, unknown>>;
  readonly credHelpers: Readonly<Record<string, unknown>>;
  readonly credsStore: string | undefined;
}

const HUB_KEY = 'https://index.docker.io/v1/';
const NO_PASSWORD_USER = '<token>';

/** `$DOCKER_CONFIG/config.json`, else the one in the home directory. */
export function dockerConfigPath(environment: Readonly<Record<string, string | undefined>>): string {
  const directory = environment.DOCKER_CONFIG;
  return join(directory ? directory : join(environment.HOME ?? homedir(), '.docker'), 'config.json');
}

/** Reads config.json anew at each look-up, which happens once for each registry that asks. Throws TSB_REGISTRY_CONFIG_INVALID. */
export class DockerCredentials implements CredentialSource {
  readonly place: string;
  readonly #environment: Readonly<Record<string, string | undefined>>;

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    this.place = dockerConfigPath(environment);
    this.#environment = environment;
  }

  async lookup(domain: string): Promise<FoundCredentials> {
    const config = readDockerConfig(this.place);
    const key = domain === 'docker.io' ? HUB_KEY : domain;
    const helper = entryFor(config.credHelpers, key) ?? config.credsStore;
    const fromHelper = typeof helper === 'string' && helper !== '' ? await this.#ask(helper, key) : {};
    if (fromHelper.credentials !== undefined) return fromHelper;
    const credentials = credentialsOf(entryFor(config.auths, key));
    return { ...fromHelper, ...(credentials !== undefined && { credentials }) };
  }

  async #ask(helper: string, key: string): Promise<FoundCredentials> {
    const program = `docker-credential-${helper}`;
    if (!/^[\w.-]+$/.test(helper)) return { problem: `"${program}" is no name of a credential helper` };
    try {
      const answer = fieldsOf(JSON.parse(await run(program, key, this.#environment)));
      const { Username: username, Secret: secret } = answer;
      if (typeof username !== 'string' || typeof secret !== 'string') return {};
      if (username === NO_PASSWORD_USER) return { credentials: { kind: 'identityToken', token: secret } };
      return { credentials: { kind: 'password', username, password: secret } };
    } catch (error) {
      if (error instanceof Error && /credentials not found/i.test(error.message)) return {};
      // A JSON error quotes what it could not read, which may be the secret.
      const reason =
        error instanceof Error && !(error instanceof SyntaxError) ? error.message : 'its answer is no JSON';
      return { problem: `${program}: ${reason}` };
    }
  }
}

const TIMEOUT_MS = 30_000;
/** As shells have it. */
const NOT_FOUND = 127;

/** What the helper writes. It ends with this process, however that ends. */
async function run(
  program: string,
  input: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const { spawnTied } = await import('../sys/tied-shell.ts');
  return new Promise((resolve, reject) => {
    // Its end of input comes with that of the shell's printf.
    const script = `command -v "$1" >/dev/null || exit ${NOT_FOUND}; printf %s "$2" | exec "$1" get`;
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const child = spawnTied(script, ['sh', program, input], { env: { ...environment }, signal });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.resume();
    child.once('error', (error) => {
      reject(signal.aborted ? new Error(`no answer within ${TIMEOUT_MS / 1000} s`) : error);
    });
    child.once('close', (code) => {
      const output = Buffer.concat(chunks).toString();
      // On failure, helpers say why on their standard output.
      if (code === 0) resolve(output);
      else if (code === NOT_FOUND && output === '') reject(new Error('not found in PATH'));
      else reject(new Error(`${output.trim().slice(0, 200)} (exit code ${code})`));
    });
  });
}

function readDockerConfig(path: string): DockerConfig {
  const config = fieldsOf(parseConfig(path, readText(path)));
  const { credsStore } = config;
  return {
    auths: fieldsOf(config.auths),
    credHelpers: fieldsOf(config.credHelpers),
    credsStore: typeof credsStore === 'string' ? credsStore : undefined,
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return '{}';
    throw new TsbuildError('TSB_REGISTRY_CONFIG_INVALID', `cannot read "${path}"`, {
      hint: 'make it readable, or name another directory with DOCKER_CONFIG',
      cause: error,
    });
  }
}

function parseConfig(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // No cause: a JSON error quotes the text, which holds passwords.
    throw new TsbuildError('TSB_REGISTRY_CONFIG_INVALID', `"${path}" is no valid JSON`, {
      hint: 'mend it, or name another directory with DOCKER_CONFIG',
    });
  }
}

/** None of what is no object. */
function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return asRecord(value) ?? {};
}

/** Keys may be hosts or, from older times, URLs. */
function entryFor(entries: Readonly<Record<string, unknown>>, key: string): unknown {
  if (Object.hasOwn(entries, key)) return entries[key];
  const host = hostOf(key);
  return Object.entries(entries).find(([name]) => hostOf(name) === host)?.[1];
}

function hostOf(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
}

function credentialsOf(entry: unknown): Credentials | undefined {
  const { auth, username, password, identitytoken, registrytoken } = fieldsOf(entry);
  if (isFilled(identitytoken)) return { kind: 'identityToken', token: identitytoken };
  if (isFilled(registrytoken)) return { kind: 'registryToken', token: registrytoken };
  if (isFilled(auth)) return decodeAuth(auth);
  return isFilled(username) && isFilled(password) ? { kind: 'password', username, password } : undefined;
}

function isFilled(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function decodeAuth(auth: string): Credentials | undefined {
  const text = Buffer.from(auth, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  // Old clients padded the password with NULs.
  return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
}
