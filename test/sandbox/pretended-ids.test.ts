// What processes are told of their ids where the kernel has a single one.
import { describe, expect, it } from 'vitest';
import { pretenceFilter } from '../../src/sandbox/pretence-filter.ts';
import {
  chownAs,
  executeAs,
  type IdChange,
  IdTable,
  KEEP,
  type PretendedIds,
  ROOT_IDS,
  setGroups,
  setID,
  setRealAndEffective,
  setTriple,
} from '../../src/sandbox/pretended-ids.ts';
import { encodePlain, encodeSpecial, parsePlain, parseSpecial } from '../../src/sys/recorded-owner.ts';

const EPERM = 1;
const alice: PretendedIds = { uid: [7, 7, 7], gid: [8, 8, 8], groups: [8, 9], keepsRights: false };

function changed(change: IdChange): PretendedIds {
  if (typeof change === 'number') throw new Error(`errno ${change}`);
  return change;
}

describe('pretended ids', () => {
  it('let root become anybody, and nobody root again', () => {
    const user = changed(setID(ROOT_IDS, 'uid', 7));
    expect(user.uid).toEqual([7, 7, 7]);
    expect(setID(user, 'uid', 0)).toBe(EPERM);
    expect(setGroups(user, [])).toBe(EPERM);
    expect(setTriple(user, 'gid', [0, KEEP, 0])).toMatchObject({ gid: [0, 0, 0] });
    expect(setTriple(user, 'gid', [5, KEEP, KEEP])).toBe(EPERM);
  });

  it('let a process that saved its id have it back', () => {
    const lowered = changed(setTriple(ROOT_IDS, 'uid', [KEEP, 7, KEEP]));
    expect(lowered.uid).toEqual([0, 7, 0]);
    expect(setTriple(lowered, 'uid', [KEEP, 0, KEEP])).toMatchObject({ uid: [0, 0, 0] });
    const swapped = changed(setRealAndEffective(lowered, 'uid', 7, 0));
    expect(swapped.uid).toEqual([7, 0, 0]);
  });

  it('keep the right to change others when that is asked for, until a program is executed', () => {
    const keeping = changed(setID({ ...ROOT_IDS, keepsRights: true }, 'uid', 7));
    expect(setGroups(keeping, [3])).toMatchObject({ groups: [3] });
    expect(setGroups(executeAs(keeping, undefined, undefined), [3])).toBe(EPERM);
  });

  it('are those of the owner of a setuid program', () => {
    expect(executeAs(alice, 0, undefined)).toMatchObject({ uid: [7, 0, 0], gid: [8, 8, 8] });
    expect(executeAs(alice, undefined, 50)).toMatchObject({ uid: [7, 7, 7], gid: [8, 50, 50] });
  });

  it('say who may give a file to whom', () => {
    const own = { uid: 7, gid: 8 };
    expect(chownAs(ROOT_IDS, own, { uid: 1, gid: KEEP })).toEqual({ uid: 1, gid: 8 });
    expect(chownAs(alice, own, { uid: KEEP, gid: 9 })).toEqual({ uid: 7, gid: 9 });
    expect(chownAs(alice, own, { uid: KEEP, gid: 10 })).toBe(EPERM);
    expect(chownAs(alice, own, { uid: 1, gid: KEEP })).toBe(EPERM);
    expect(chownAs(alice, { uid: 0, gid: 0 }, { uid: 7, gid: KEEP })).toBe(EPERM);
  });

  it('have a number each', () => {
    const table = new IdTable();
    expect([table.numberOf(ROOT_IDS), table.numberOf(alice), table.numberOf({ ...ROOT_IDS })]).toEqual([0, 1, 0]);
    expect([table.of(1), table.of(-1)]).toEqual([alice, ROOT_IDS]);
  });

  it('are no more in a table than it has room for', () => {
    const table = new IdTable();
    const groups = Array.from({ length: 1024 }, (_, n) => n);
    const numbers = Array.from({ length: 5000 }, (_, n) => table.numberOf({ ...ROOT_IDS, gid: [n, n, n], groups }));
    expect(numbers[0]).toBe(0);
    expect(numbers.at(-1)).toBeUndefined();
    expect(table.numberOf({ ...ROOT_IDS, gid: [0, 0, 0], groups })).toBe(0);
  });

  it('are written down beside files, and as bits that mean nothing beside all else', () => {
    const owner = { uid: 4294967294, gid: 12 };
    expect(parsePlain(encodePlain(owner))).toEqual(owner);
    expect(parseSpecial(encodeSpecial(owner))).toEqual(owner);
    expect(parsePlain(Buffer.from('1:x'))).toBeUndefined();
  });

  it('need a filter that fits the kernel, on either machine', () => {
    for (const arch of ['x64', 'arm64'] as const) {
      const filter = pretenceFilter(arch);
      expect(filter.length % 8).toBe(0);
      expect(filter.length / 8).toBeLessThan(4096);
    }
  });
});
