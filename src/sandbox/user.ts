// The USER of a process: names and numbers looked up in the root filesystem's own /etc/passwd and /etc/group, by the
// rules of moby/sys/user as BuildKit applies them.
import { TsbuildError } from '../../solver/errors.ts';

/** Numbers as the image has them. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** All group ids, the primary one first, without repeats. */
  readonly groups: readonly number[];
  /** Home directory by the uid's entry; `/` when it has none. */
  readonly home: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const MAX_ID = 0x7fffffff;

/**
 * Resolves `user`, `user:group`, with names or numbers; undefined or empty is root. `readFile` gives a file's text or
 * undefined when it is absent. Throws TSB_SANDBOX_USER_NOT_FOUND.
 */
export function resolveUser(user: string | undefined, readFile: (path: string) => string | undefined): ResolvedUser {
  const spec = user === undefined || user === '' ? '0' : user;
  const colon = spec.indexOf(':');
  const userPart = colon < 0 ? spec : spec.slice(0, colon);
  const groupPart = colon < 0 ? '' : spec.slice(colon + 1);
  const passwd = parsePasswd(readFile('/etc/passwd') ?? '');
  const { uid, gid, name } = findUser(userPart === '' ? '0' : userPart, passwd);
  const home = passwd.find((entry) => entry.uid === uid)?.home || '/';
  if (groupPart !== '') {
    const chosen = findGroup(groupPart, readFile);
    return { uid, gid: chosen, groups: [chosen], home };
  }
  const extra = name === undefined ? [] : memberships(name, readFile);
  return { uid, gid, groups: [...new Set([gid, ...extra])], home };
}

function findUser(
  user: string,
  passwd: readonly PasswdEntry[],
): { readonly uid: number; readonly gid: number; readonly name: string | undefined } {
  const number = parseId(user);
  const entry = passwd.find((candidate) => (number === undefined ? candidate.name === user : candidate.uid === number));
  if (entry !== undefined) return entry;
  if (number === undefined) throw notFound('user', user, 'passwd');
  return { uid: inRange(number), gid: 0, name: undefined };
}

function findGroup(group: string, readFile: (path: string) => string | undefined): number {
  const number = parseId(group);
  const groups = parseGroup(readFile('/etc/group') ?? '');
  const entry = groups.find((candidate) =>
    number === undefined ? candidate.name === group : candidate.gid === number,
  );
  if (entry !== undefined) return entry.gid;
  if (number === undefined) throw notFound('group', group, 'group');
  return inRange(number);
}

function memberships(name: string, readFile: (path: string) => string | undefined): readonly number[] {
  return parseGroup(readFile('/etc/group') ?? '')
    .filter((group) => group.members.includes(name))
    .map((group) => group.gid);
}

function parsePasswd(text: string): readonly PasswdEntry[] {
  return entries(text).map(([name = '', , uid = '', gid = '', , home = '']) => ({
    name,
    uid: parseId(uid) ?? 0,
    gid: parseId(gid) ?? 0,
    home,
  }));
}

function parseGroup(text: string): readonly GroupEntry[] {
  return entries(text).map(([name = '', , gid = '', members = '']) => ({
    name,
    gid: parseId(gid) ?? 0,
    members: members.split(',').map((member) => member.trim()),
  }));
}

function entries(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => line.split(':'));
}

function parseId(text: string): number | undefined {
  return /^[+-]?\d+$/.test(text) ? Number(text) : undefined;
}

function inRange(id: number): number {
  if (id < 0 || id > MAX_ID) {
    throw new TsbuildError('TSB_SANDBOX_USER_NOT_FOUND', `uids and gids must be in range 0-${MAX_ID}`);
  }
  return id;
}

function notFound(kind: string, name: string, file: string): TsbuildError {
  return new TsbuildError(
    'TSB_SANDBOX_USER_NOT_FOUND',
    `unable to find ${kind} ${name}: no matching entries in ${file} file`,
  );
}
