// Who the processes of one step believe to be, and the calls that tell and change it.
import { MEMORY, type NotifiedCall, type NotifyingCalls } from './notified-calls.ts';
import type { PretendedCall } from './pretence-filter.ts';
import {
  type IdChange,
  IdTable,
  type PretendedIds,
  setGroups,
  setID,
  setRealAndEffective,
  setTriple,
} from './pretended-ids.ts';

/** A result, a negative errno, or undefined: the kernel shall make the call. */
export type Answer = number | undefined;

/** Errno for an address that is not the caller's. */
export const EFAULT = 14;
const EINVAL = 22;
const MAX_GROUPS = 1024;
const UNLIMITED = 0xffffffffffffffffn;
const LIMIT_BYTES = 16;

/** For one step. */
export class PretenceIds {
  readonly #calls: NotifyingCalls;
  readonly #listenerFd: number;
  readonly #table = new IdTable();

  constructor(calls: NotifyingCalls, listenerFd: number) {
    this.#calls = calls;
    this.#listenerFd = listenerFd;
  }

  of({ pid }: Pick<NotifiedCall, 'pid'>): PretendedIds {
    return this.#table.of(this.#calls.readNumber(pid) ?? -1);
  }

  give({ pid }: Pick<NotifiedCall, 'pid'>, ids: PretendedIds): boolean {
    const number = this.#table.numberOf(ids);
    return number !== undefined && this.#calls.writeNumber(pid, number);
  }

  /** Undefined also when the call is about something else. */
  answer(name: PretendedCall, call: NotifiedCall): Answer {
    const [a, b, c] = call.args.map(unsigned) as [number, number, number];
    switch (name) {
      case 'getuid':
        return this.of(call).uid[0];
      case 'geteuid':
        return this.of(call).uid[1];
      case 'getgid':
        return this.of(call).gid[0];
      case 'getegid':
        return this.of(call).gid[1];
      case 'getresuid':
        return this.#tell(call, this.of(call).uid);
      case 'getresgid':
        return this.#tell(call, this.of(call).gid);
      case 'getgroups':
        return this.#tellGroups(call);
      case 'setuid':
        return this.#change(call, (ids) => setID(ids, 'uid', a));
      case 'setgid':
        return this.#change(call, (ids) => setID(ids, 'gid', a));
      case 'setreuid':
        return this.#change(call, (ids) => setRealAndEffective(ids, 'uid', a, b));
      case 'setregid':
        return this.#change(call, (ids) => setRealAndEffective(ids, 'gid', a, b));
      case 'setresuid':
        return this.#change(call, (ids) => setTriple(ids, 'uid', [a, b, c]));
      case 'setresgid':
        return this.#change(call, (ids) => setTriple(ids, 'gid', [a, b, c]));
      case 'setfsuid':
        return this.of(call).uid[1];
      case 'setfsgid':
        return this.of(call).gid[1];
      case 'setgroups':
        return this.#takeGroups(call);
      case 'prctl':
        return this.#change(call, (ids) => ({ ...ids, keepsRights: b !== 0 }));
      case 'prlimit64':
        return this.#tellLimit(call, call.args[3]);
      case 'getrlimit':
        return this.#tellLimit(call, call.args[1]);
      case 'setrlimit':
        return 0;
      default:
        return undefined;
    }
  }

  /** The limit that carries the ids seems to be none, and to take any value. */
  #tellLimit(call: NotifiedCall, address: number): Answer {
    if (address === 0) return 0;
    const { memory } = this.#calls;
    for (const at of [0, 8]) memory.writeBigUInt64LE(UNLIMITED, MEMORY.result + at);
    return this.#calls.write(this.#listenerFd, call, address, MEMORY.result, LIMIT_BYTES) ? 0 : -EFAULT;
  }

  #change(call: NotifiedCall, change: (ids: PretendedIds) => IdChange): Answer {
    const changed = change(this.of(call));
    if (typeof changed === 'number') return -changed;
    return this.give(call, changed) ? 0 : undefined;
  }

  #tell(call: NotifiedCall, ids: readonly number[]): Answer {
    for (const [index, id] of ids.entries()) {
      this.#calls.memory.writeUInt32LE(id, MEMORY.result);
      const address = call.args[index] ?? 0;
      if (!this.#calls.write(this.#listenerFd, call, address, MEMORY.result, 4)) return -EFAULT;
    }
    return 0;
  }

  #tellGroups(call: NotifiedCall): Answer {
    const { groups } = this.of(call);
    const [size, address] = call.args;
    if (size === 0) return groups.length;
    if (size < groups.length) return -EINVAL;
    for (const [index, id] of groups.entries()) this.#calls.memory.writeUInt32LE(id, MEMORY.result + 4 * index);
    const isWritten = this.#calls.write(this.#listenerFd, call, address, MEMORY.result, 4 * groups.length);
    return isWritten || groups.length === 0 ? groups.length : -EFAULT;
  }

  #takeGroups(call: NotifiedCall): Answer {
    const [given, address] = call.args;
    const count = unsigned(given);
    if (count > MAX_GROUPS) return -EINVAL;
    if (count > 0 && this.#calls.read(call.pid, address, MEMORY.result, 4 * count) !== 4 * count) return -EFAULT;
    const groups = Array.from({ length: count }, (_, index) =>
      this.#calls.memory.readUInt32LE(MEMORY.result + 4 * index),
    );
    return this.#change(call, (ids) => setGroups(ids, groups));
  }
}

/** An id or a count as the kernel reads it. */
export function unsigned(id: number): number {
  return Number(BigInt.asUintN(32, BigInt(id)));
}
