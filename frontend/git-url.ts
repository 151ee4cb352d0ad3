// Git repositories as ADD names them: `https://host/x.git#ref:subdir`, `git@host:x`, and the query form.

import { dockerfileError } from './errors.ts';
import { parseGoBool } from './go-text.ts';

/** The parts of a repository's address; a text is empty and a boolean undefined where the address says nothing. */
export interface GitUrl {
  /** The remote without fragment and query. */
  readonly remote: string;
  readonly host: string;
  readonly path: string;
  readonly isSSH: boolean;
  readonly ref: string;
  readonly subdir: string;
  readonly checksum: string;
  readonly keepGitDir: boolean | undefined;
  readonly submodules: boolean | undefined;
  readonly mtime: string;
}

const SCHEME = /^(https?|git|ssh):\/\/(?:[^@/]*@)?([^/]+)(\/.*)?$/i;
const SCP = /^(?:[a-zA-Z0-9-_]+@)([a-zA-Z0-9-.]+):([^#?]*)$/;

/** The repository, or undefined when the source is a file or an ordinary URL. Throws TSB_DOCKERFILE_GIT_URL for a bad query. */
export function parseGitUrl(source: string): GitUrl | undefined {
  const [beforeFragment = '', fragment = ''] = splitAt(source, '#');
  const [remote = '', query = ''] = splitAt(beforeFragment, '?');
  const place = parseRemote(remote);
  if (place === undefined) return undefined;
  const [ref = '', subdir = ''] = splitAt(fragment, ':');
  return { ...place, remote, ...applyQuery({ ref, subdir: cleanSubdir(subdir) }, new URLSearchParams(query)) };
}

type GitOptions = Pick<GitUrl, 'ref' | 'subdir' | 'checksum' | 'keepGitDir' | 'submodules' | 'mtime'>;

function parseRemote(remote: string): Pick<GitUrl, 'host' | 'path' | 'isSSH'> | undefined {
  const [url, scheme = '', host = '', path = ''] = SCHEME.exec(remote) ?? [];
  if (url !== undefined) {
    const isHTTP = scheme.toLowerCase().startsWith('http');
    return isHTTP && !path.endsWith('.git') ? undefined : { host, path, isSSH: scheme.toLowerCase() === 'ssh' };
  }
  const [scp, scpHost = '', scpPath = ''] = SCP.exec(remote) ?? [];
  return scp === undefined ? undefined : { host: scpHost, path: scpPath, isSSH: true };
}

function applyQuery(url: Pick<GitUrl, 'ref' | 'subdir'>, query: URLSearchParams): GitOptions {
  for (const key of new Set(query.keys())) checkKey(key, query.getAll(key));
  const tag = qualified(query.get('tag'), 'refs/tags/');
  const branch = qualified(query.get('branch'), 'refs/heads/');
  if (tag !== '' && branch !== '') throw dockerfileError('GIT_URL', 'branch conflicts with tag');
  const ref = agree('ref', [url.ref, query.get('ref') ?? '', tag, branch]);
  const checksum = query.get('checksum') ?? query.get('commit') ?? '';
  return {
    ref: ref === '' ? checksum : ref,
    subdir: agree('subdir', [url.subdir, query.get('subdir') ?? '']),
    checksum,
    keepGitDir: booleanOf('keep-git-dir', query),
    submodules: booleanOf('submodules', query),
    mtime: query.get('mtime') ?? '',
  };
}

const KEYS: ReadonlySet<string> = new Set(
  'ref tag branch subdir checksum commit keep-git-dir submodules mtime fetch-by-commit'.split(' '),
);
const FLAG_KEYS: ReadonlySet<string> = new Set(['keep-git-dir', 'submodules', 'fetch-by-commit']);

function checkKey(key: string, values: readonly string[]): void {
  if (values.length > 1) throw dockerfileError('GIT_URL', `query "${key}" has multiple values`);
  if (values[0] === '' && !FLAG_KEYS.has(key)) throw dockerfileError('GIT_URL', `query "${key}" has no value`);
  if (!KEYS.has(key)) throw dockerfileError('GIT_URL', `unexpected query "${key}"`);
}

function qualified(name: string | null, prefix: string): string {
  if (name === null) return '';
  return name.startsWith(prefix) ? name : prefix + name;
}

/** The one value that is given; throws when two differ. */
function agree(what: string, values: readonly string[]): string {
  const [first = '', ...others] = values.filter((value) => value !== '');
  const other = others.find((value) => value !== first);
  if (other === undefined) return first;
  throw dockerfileError('GIT_URL', `${what} conflicts: "${first}" vs "${other}"`);
}

function booleanOf(key: string, query: URLSearchParams): boolean | undefined {
  const text = query.get(key);
  if (text === null) return undefined;
  if (text === '') return true;
  const value = parseGoBool(text);
  if (value !== undefined) return value;
  throw dockerfileError('GIT_URL', `invalid ${key} value: "${text}"`);
}

function cleanSubdir(subdir: string): string {
  return subdir.replace(/^\/+/, '');
}

/** The text before and behind the first separator; the whole of it where there is none. */
export function splitAt(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
