// The git program, run so that nothing of the user's configuration or of the machine's changes what it does.
import { TsbuildError } from '../../solver/errors.ts';
import { spawnTied } from '../sys/tied-shell.ts';

interface GitPlace {
  /** The repository, bare or the `.git` of a work tree. */
  readonly gitDir?: string;
  readonly workTree?: string;
}

interface GitCommandOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** Configuration that is nobody's to see, such as a header with a token. */
  readonly config: Readonly<Record<string, string>>;
  /** Further variables of the process. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** Variables of the user's that git and what it runs may see. */
const PASSED = ['PATH', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy', 'ALL_PROXY'];
const MISSING_PROGRAM = 127;
/** What a repository may make git say: all the refs of a large one that can match have a few kilobytes. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
const MAX_COMPLAINT_BYTES = 64 * 1024;

/** A git program in one place. */
export class GitCommand {
  readonly #options: GitCommandOptions;
  readonly #place: GitPlace;

  constructor(options: GitCommandOptions, place: GitPlace = {}) {
    this.#options = options;
    this.#place = place;
  }

  /** The same program elsewhere. */
  at(place: GitPlace): GitCommand {
    return new GitCommand(this.#options, place);
  }

  /** What the command writes to its standard output. Throws TSB_GIT_MISSING, TSB_GIT_FAILED, and the signal's reason. */
  async run(...args: readonly string[]): Promise<string> {
    const { gitDir, workTree } = this.#place;
    const { env, signal, config, variables } = this.#options;
    const place = [
      ...(workTree === undefined ? [] : [`--work-tree=${workTree}`]),
      ...(gitDir === undefined ? [] : [`--git-dir=${gitDir}`]),
    ];
    const all = ['-c', 'protocol.file.allow=user', '-c', 'advice.detachedHead=false', ...place, ...args];
    signal.throwIfAborted();
    // Modes of what is checked out depend on the mask, which a child process can only be given by a shell.
    const child = spawnTied('umask 022 && exec git "$@"', ['git', ...all], {
      cwd: workTree ?? '/',
      env: { ...passed(env), ...asVariables(config), ...FIXED, ...variables },
      signal,
    });
    const [output, complaint, code] = await Promise.all([
      collect(child.stdout, MAX_OUTPUT_BYTES, () => child.kill()),
      collect(child.stderr, MAX_COMPLAINT_BYTES, () => undefined),
      new Promise<number | null>((resolve) => {
        child.on('error', () => resolve(null));
        child.on('close', resolve);
      }),
    ]);
    signal.throwIfAborted();
    if (output.isCut) throw tooMuch(args);
    if (code === 0) return output.text;
    throw code === MISSING_PROGRAM ? missingGit() : failedGit(args, complaint.text, code);
  }
}

const FIXED = {
  GIT_TERMINAL_PROMPT: '0',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  HOME: '/dev/null',
  LC_ALL: 'C',
};

function passed(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    PASSED.flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** Unlike arguments, variables of a process cannot be read by other users. */
function asVariables(config: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(config);
  return Object.fromEntries([
    ['GIT_CONFIG_COUNT', `${entries.length}`],
    ...entries.flatMap(([key, value], n) => [
      [`GIT_CONFIG_KEY_${n}`, key],
      [`GIT_CONFIG_VALUE_${n}`, value],
    ]),
  ]);
}

/** The beginning of what comes, up to that many bytes; all of it is read. */
async function collect(
  stream: AsyncIterable<Buffer>,
  maxBytes: number,
  onMore: () => void,
): Promise<{ readonly text: string; readonly isCut: boolean }> {
  const chunks: Buffer[] = [];
  let left = maxBytes;
  for await (const chunk of stream) {
    if (left > 0) chunks.push(chunk.subarray(0, left));
    if (left >= 0 && chunk.length > left) onMore();
    left -= chunk.length;
  }
  return { text: Buffer.concat(chunks).toString('utf8'), isCut: left < 0 };
}

function tooMuch([command = '']: readonly string[]): TsbuildError {
  return new TsbuildError('TSB_GIT_FAILED', `git ${command}: more than ${MAX_OUTPUT_BYTES} bytes of output`, {
    hint: 'the repository has too many refs, or the server is broken',
  });
}

function missingGit(): TsbuildError {
  return new TsbuildError('TSB_GIT_MISSING', 'cannot fetch a git repository: there is no git program in PATH', {
    hint: 'install git, or ADD an archive of the repository by its URL',
  });
}

function failedGit([command = '']: readonly string[], complaint: string, code: number | null): TsbuildError {
  const lines = complaint.split('\n').filter((line) => line.trim() !== '');
  const telling = lines.filter((line) =>
    /^(fatal|error|remote):|Permission denied \(|^Host key verification failed/.test(line),
  );
  const text = (telling.length > 0 ? telling : lines).join('; ').replace(/\/\/[^/@\s]*@/g, '//');
  const isHostKey = complaint.includes('Host key verification failed.');
  return new TsbuildError('TSB_GIT_FAILED', `git ${command}: ${text === '' ? `exit status ${code}` : text}`, {
    hint: isHostKey
      ? 'the host has shown another key than ~/.ssh/known_hosts has of it: find out why before you change that file'
      : 'check the URL of the repository, and that it is reachable from here',
  });
}
