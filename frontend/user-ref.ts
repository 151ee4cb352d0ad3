// `user[:group]` of USER and --chown, as LLB's owner of a file action.
import type { Chown, UserRef } from '../solver/op.ts';

/**
 * The owner that `user[:group]` names. Names are looked up in the tree of input `input` when the action runs
 * (-1: there is no tree to look in); `root` and numbers need no lookup.
 */
export function parseOwner(owner: string, input: number): Chown {
  const colon = owner.indexOf(':');
  if (colon < 0) return { user: parseUserRef(owner, input) };
  return { user: parseUserRef(owner.slice(0, colon), input), group: parseUserRef(owner.slice(colon + 1), input) };
}

const MAX_ID = 2 ** 31 - 1;

function parseUserRef(text: string, input: number): UserRef {
  if (text === 'root' || text === '') return { id: 0 };
  const isNumber = /^[+-]?[0-9]+$/.test(text) && Math.abs(Number(text)) <= MAX_ID;
  return isNumber ? { id: Number(text) >>> 0 } : { name: text, input };
}
