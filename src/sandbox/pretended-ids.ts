// The user and group ids that processes believe to have where the kernel has a single one to give, and how the calls
// that change them do so: as credentials(7) says for a process whose only capability is to be root.

/** Real, effective and saved id. */
type IdTriple = readonly [real: number, effective: number, saved: number];

/** Immutable: a call makes the next ones from it. */
export interface PretendedIds {
  readonly uid: IdTriple;
  readonly gid: IdTriple;
  readonly groups: readonly number[];
  /** PR_SET_KEEPCAPS: no change of ids takes the right to further ones away until a program is executed. */
  readonly keepsRights: boolean;
}

/** Those of a process that has not changed any. */
export const ROOT_IDS: PretendedIds = { uid: [0, 0, 0], gid: [0, 0, 0], groups: [0], keepsRights: false };

/** What a call leaves an id as it is with. */
export const KEEP = 0xffffffff;
const EPERM = 1;
const EINVAL = 22;

/** The ids after a call, or the errno it fails with. */
export type IdChange = PretendedIds | number;

/** `setuid` or `setgid`. */
export function setID(ids: PretendedIds, kind: 'uid' | 'gid', id: number): IdChange {
  const [real, , saved] = ids[kind];
  if (id === KEEP) return EINVAL;
  if (isPrivileged(ids)) return { ...ids, [kind]: [id, id, id] };
  return id === real || id === saved ? { ...ids, [kind]: [real, id, saved] } : EPERM;
}

/** `setreuid` or `setregid`. */
export function setRealAndEffective(ids: PretendedIds, kind: 'uid' | 'gid', real: number, effective: number): IdChange {
  const [oldReal, oldEffective, oldSaved] = ids[kind];
  const mayReal = isPrivileged(ids) || [KEEP, oldReal, oldEffective].includes(real);
  const mayEffective = isPrivileged(ids) || [KEEP, oldReal, oldEffective, oldSaved].includes(effective);
  if (!mayReal || !mayEffective) return EPERM;
  const newEffective = kept(effective, oldEffective);
  const isSaving = real !== KEEP || (effective !== KEEP && effective !== oldReal);
  return { ...ids, [kind]: [kept(real, oldReal), newEffective, isSaving ? newEffective : oldSaved] };
}

/** `setresuid` or `setresgid`. */
export function setTriple(ids: PretendedIds, kind: 'uid' | 'gid', wanted: IdTriple): IdChange {
  const old = ids[kind];
  if (!isPrivileged(ids) && wanted.some((id) => id !== KEEP && !old.includes(id))) return EPERM;
  const [real, effective, saved] = wanted;
  return { ...ids, [kind]: [kept(real, old[0]), kept(effective, old[1]), kept(saved, old[2])] };
}

/** `setgroups`. */
export function setGroups(ids: PretendedIds, groups: readonly number[]): IdChange {
  return isPrivileged(ids) ? { ...ids, groups } : EPERM;
}

/** Executing a file: its owners' ids when it is setuid or setgid, and saved ids in any case. */
export function executeAs(ids: PretendedIds, uid: number | undefined, gid: number | undefined): PretendedIds {
  const [newUid, newGid] = [uid ?? ids.uid[1], gid ?? ids.gid[1]];
  return { ...ids, uid: [ids.uid[0], newUid, newUid], gid: [ids.gid[0], newGid, newGid], keepsRights: false };
}

/** The owner of a file after `chown`, or the errno it fails with. */
export function chownAs(
  ids: PretendedIds,
  old: { readonly uid: number; readonly gid: number },
  { uid, gid }: { readonly uid: number; readonly gid: number },
): { readonly uid: number; readonly gid: number } | number {
  const wanted = { uid: kept(uid, old.uid), gid: kept(gid, old.gid) };
  if (isPrivileged(ids)) return wanted;
  const isOwner = old.uid === ids.uid[1] && wanted.uid === old.uid;
  const isMember = [old.gid, ids.gid[1], ...ids.groups].includes(wanted.gid);
  return isOwner && isMember ? wanted : EPERM;
}

function isPrivileged({ uid, keepsRights }: PretendedIds): boolean {
  return uid[1] === 0 || keepsRights;
}

function kept(wanted: number, old: number): number {
  return wanted === KEEP ? old : wanted;
}

/** Ids in all that a table keeps: far more than there are users, and what a step that counts up cannot go beyond. */
const MAX_KNOWN_IDS = 1 << 22;

/** Numbers for sets of ids: a process carries one, and hands it on to those it starts. */
export class IdTable {
  readonly #known: PretendedIds[] = [];
  readonly #numbers = new Map<string, number>();
  #size = 0;

  /** Root's when nothing was given that number. */
  of(number: number): PretendedIds {
    return this.#known[number] ?? ROOT_IDS;
  }

  /** Undefined when the table is full. */
  numberOf(ids: PretendedIds): number | undefined {
    const key = [...ids.uid, ...ids.gid, ids.keepsRights, ...ids.groups].join();
    let number = this.#numbers.get(key);
    if (number === undefined) {
      this.#size += 8 + ids.groups.length;
      if (this.#size > MAX_KNOWN_IDS) return undefined;
      number = this.#known.push(ids) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}
