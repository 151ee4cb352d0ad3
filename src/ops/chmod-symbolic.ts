// `--chmod` in symbolic form, such as `u=rwX,go=rX`, as mode(1posix) and github.com/tonistiigi/dchapes-mode read it.
import { TsbuildError } from '../../solver/errors.ts';

/** The new permission bits of an entry that has `mode` now. */
type ChangeMode = (mode: number, isDirectory: boolean) => number;

const WHO_BITS = { u: 0o4700, g: 0o2070, o: 0o1007 } as const;
const ALL_BITS = 0o7777;
const CLAUSE = /^([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)$/;
const OPERATION = /([-+=])([ugo]|[rwxXst]*)/g;

/** Parses a symbolic mode; throws TSB_COPY_CHMOD_INVALID. */
export function parseSymbolicMode(text: string): ChangeMode {
  const changes = text.split(',').flatMap((clause) => parseClause(clause, text));
  return (mode, isDirectory) => changes.reduce((current, change) => change(current, mode, isDirectory), mode);
}

/** One operation on the mode as changed so far; `X` asks the mode as it was. */
type Operation = (current: number, original: number, isDirectory: boolean) => number;

function parseClause(clause: string, text: string): readonly Operation[] {
  const match = CLAUSE.exec(clause);
  if (match === null) {
    throw new TsbuildError('TSB_COPY_CHMOD_INVALID', `invalid chmod parameter: '${text}'`, {
      hint: 'write an octal mode such as 0755, or a symbolic one such as u=rwX,go=rX',
    });
  }
  const who = whoBits(match[1] ?? '');
  return [...(match[2] ?? '').matchAll(OPERATION)].map(
    ([, operator, permissions]) =>
      (current, original, isDirectory) => {
        const hasX = isDirectory || (original & 0o111) !== 0;
        return apply(current, operator ?? '', who, permissionBits(permissions ?? '', current, hasX));
      },
  );
}

function whoBits(who: string): number {
  if (who === '' || who.includes('a')) return ALL_BITS;
  let bits = 0;
  if (who.includes('u')) bits |= WHO_BITS.u;
  if (who.includes('g')) bits |= WHO_BITS.g;
  if (who.includes('o')) bits |= WHO_BITS.o;
  return bits;
}

function apply(mode: number, operator: string, who: number, bits: number): number {
  const wanted = bits & who;
  if (operator === '+') return mode | wanted;
  if (operator === '-') return mode & ~wanted;
  return (mode & ~who) | wanted;
}

/** The bits for everybody; who they are given to is the caller's mask. */
function permissionBits(permissions: string, mode: number, hasX: boolean): number {
  let bits = 0;
  for (const permission of permissions) bits |= bitsOf(permission, mode, hasX);
  return bits;
}

function bitsOf(permission: string, mode: number, hasX: boolean): number {
  switch (permission) {
    case 'r':
      return 0o444;
    case 'w':
      return 0o222;
    case 'x':
      return 0o111;
    case 'X':
      return hasX ? 0o111 : 0;
    case 's':
      return 0o6000;
    case 't':
      return 0o1000;
    case 'u':
      return spread(mode >> 6);
    case 'g':
      return spread(mode >> 3);
    default:
      return spread(mode);
  }
}

function spread(bits: number): number {
  return (bits & 7) * 0o111;
}
