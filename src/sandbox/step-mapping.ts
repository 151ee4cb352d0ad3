// What a step's program does to run its command in a user namespace that shares its root's store: ids by mounts, see
// step-namespace.ts.
import type { CallResult, DataReference, InitProgram } from './init-program.ts';
import { AT, CLONE, MOUNT_ATTR, OPEN, PRCTL, SECBIT_NO_SETUID_FIXUP, SIGNAL } from './syscalls.ts';

/** Ids of the machine: the first, and how many. */
export interface IdRange {
  readonly start: number;
  readonly count: number;
}

/** The machine's ids for those inside, from 0. */
export interface StepIds {
  readonly uids: IdRange;
  readonly gids: IdRange;
}

/** One for all steps of an executor, which closes it. */
export interface StepNamespace {
  readonly ids: StepIds;
  /** Leads to the namespace until `close`. */
  readonly path: string;
  close(): void;
}

/** The id of nobody, for ids that have none. */
const OVERFLOW_ID = 65534;

/** The machine's id for one inside; nobody's where there is none. */
export function hostIDOf(id: number, { start, count }: IdRange): number {
  return id < count ? start + id : OVERFLOW_ID;
}

/** Tags the calls that an old kernel or an unusual file system refuses. */
export const ID_MAPPING_TAG = 'id-mapping';

/** The namespace inside a program: its descriptor, and how to have a mount show its ids. */
export class StepMapping {
  readonly ids: StepIds;
  readonly #namespace: CallResult;
  readonly #attributes: DataReference;

  constructor(program: InitProgram, { ids, path }: StepNamespace) {
    this.ids = ids;
    this.#attributes = program.words([MOUNT_ATTR.idmap, 0, 0, 0]);
    program.purpose('open the user namespace');
    this.#namespace = program.call('openat', [AT.cwd, path, OPEN.rdonly | OPEN.cloexec], {
      storeAt: { dataOffset: this.#attributes.dataOffset + 3 * 8 },
    });
  }

  /** Namespaces that belong to the user namespace, entered from outside: a child makes them and opens them for both. */
  joinNamespaces(program: InitProgram, namespaces: readonly (readonly [name: string, flag: number])[]): void {
    program.purpose('make namespaces');
    const parent = program.label();
    program.call('clone', [CLONE.files | SIGNAL.chld], { onPositive: parent, tag: 'namespaces' });
    program.call('setns', [this.#namespace, CLONE.newUser]);
    program.call('unshare', [namespaces.reduce((all, [, flag]) => all | flag, 0)], { tag: 'namespaces' });
    const opened = namespaces.map(([name]) =>
      program.call('openat', [AT.cwd, `/proc/self/ns/${name}`, OPEN.rdonly | OPEN.cloexec]),
    );
    program.call('exit_group', [0]);
    program.place(parent);
    program.call('wait4', [-1, undefined, 0, undefined]);
    for (const [index, [, flag]] of namespaces.entries()) {
      program.call('setns', [opened[index], flag]);
      program.call('close', [opened[index]]);
    }
  }

  /** What is made from here on belongs to the namespace's root; the machine's rights stay. */
  becomeRoot(program: InitProgram): void {
    program.purpose("become the user namespace's root");
    program.call('prctl', [PRCTL.setSecureBits, SECBIT_NO_SETUID_FIXUP, 0, 0, 0]);
    const [uid, gid] = [this.ids.uids.start, this.ids.gids.start];
    program.call('setresgid', [gid, gid, gid]);
    program.call('setresuid', [uid, uid, uid]);
  }

  /** Has a detached mount show the namespace's ids. */
  apply(program: InitProgram, tree: CallResult): void {
    program.call('mount_setattr', [tree, '', AT.emptyPath | AT.recursive, this.#attributes, 32], {
      tag: ID_MAPPING_TAG,
    });
  }

  /** Gives up all rights outside; the copies of the mounts cannot be taken apart. */
  enter(program: InitProgram): void {
    program.purpose('enter the user namespace');
    program.call('setns', [this.#namespace, CLONE.newUser]);
    program.call('unshare', [CLONE.newNs], { tag: 'namespaces' });
  }
}
