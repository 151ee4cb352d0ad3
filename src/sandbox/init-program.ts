// Builds programs for tsbuild-init: a list of system calls with constant arguments and the bytes they point to.
//
// Words. A *record* is one call. Its *result*, when positive, can be an argument of later records: the init then
// writes it there. A *label* is a record that another one may jump to: when its result is positive (the parent's side of
// a clone), or when it fails. A record that fails without a label or `ignore` ends the program; the header names it.
import { PROGRAM_ADDRESS, PROGRAM_SPACE, RECORD } from './init-image.ts';
import type { MachineArch } from './seccomp.ts';
import { machineSyscalls, type SyscallName } from './syscalls.ts';

/** Bytes in the program's data, by their offset there. */
export interface DataReference {
  readonly dataOffset: number;
}

/** What a call will have returned. */
export interface CallResult {
  readonly record: number;
}

/** A place in the program to jump to; `place` fixes it. */
export interface Label {
  readonly label: number;
}

/** Texts become NUL-terminated strings, byte arrays their address, `undefined` a zero. */
export type CallArgument = number | bigint | string | Uint8Array | DataReference | CallResult | undefined;

interface CallOptions {
  /** Goes on with the next record whatever the result. */
  readonly ignore?: boolean;
  readonly onError?: Label;
  /** The one errno `onError` is for; any when absent. */
  readonly onErrno?: number;
  readonly onPositive?: Label;
  /** Data the result is written to, as 64 bits. */
  readonly storeAt?: DataReference;
  /** Free for the maker of the program: tells what a failure here means. */
  readonly tag?: string;
}

/** What a failed record was doing. */
export interface RecordDescription {
  readonly call: SyscallName;
  readonly purpose: string;
  readonly tag: string | undefined;
}

interface Call {
  readonly name: SyscallName;
  readonly args: readonly CallArgument[];
  readonly options: CallOptions;
  readonly purpose: string;
}

interface Detour {
  readonly failed: Label;
  readonly done: Label;
  readonly otherwise: () => void;
  readonly purpose: string;
}

const DATA_ALIGNMENT = 8;

/** A program in the making: calls are added in their order, then `assemble` gives its bytes. */
export class InitProgram {
  readonly #calls: Call[] = [];
  readonly #labels: number[] = [];
  readonly #chunks: { readonly offset: number; readonly bytes: Uint8Array }[] = [];
  readonly #texts = new Map<string, DataReference>();
  readonly #pointers: { readonly at: number; readonly to: DataReference }[] = [];
  readonly #number: (name: SyscallName) => number;
  readonly #detours: Detour[] = [];
  #dataBytes = 0;
  #purpose = '';

  constructor(arch: MachineArch) {
    this.#number = machineSyscalls(arch);
  }

  /** Says what the following calls are for: "mount /proc"; shown when one fails. */
  purpose(text: string): void {
    this.#purpose = text;
  }

  call(name: SyscallName, args: readonly CallArgument[] = [], options: CallOptions = {}): CallResult {
    this.#calls.push({ name, args, options, purpose: this.#purpose });
    return { record: this.#calls.length - 1 };
  }

  /** A label to be placed later. */
  label(): Label {
    this.#labels.push(-1);
    return { label: this.#labels.length - 1 };
  }

  /** The next call is where the label is. */
  place(label: Label): void {
    this.#labels[label.label] = this.#calls.length;
  }

  jump(target: Label): void {
    this.call('getpid', [], { onPositive: target });
  }

  /**
   * Calls that run when the first of them fails go to `otherwise`; both ways continue behind. The second way is put at the
   * program's end, so that the first needs no call to jump: a system call filter might refuse it.
   */
  attempt(first: (failed: Label) => void, otherwise: () => void): void {
    const failed = this.label();
    const done = this.label();
    first(failed);
    this.place(done);
    this.#detours.push({ failed, done, otherwise, purpose: this.#purpose });
  }

  bytes(bytes: Uint8Array): DataReference {
    const offset = this.#dataBytes;
    this.#chunks.push({ offset, bytes });
    this.#dataBytes += Math.ceil(bytes.length / DATA_ALIGNMENT) * DATA_ALIGNMENT;
    return { dataOffset: offset };
  }

  /** A NUL-terminated string; equal ones are stored once. */
  text(text: string): DataReference {
    let reference = this.#texts.get(text);
    if (reference === undefined) {
      if (text.includes('\0')) throw new Error('internal error: a NUL in a string for the kernel');
      reference = this.bytes(Buffer.from(`${text}\0`));
      this.#texts.set(text, reference);
    }
    return reference;
  }

  /** A structure of 64-bit words, some of them addresses. */
  words(words: readonly (number | bigint | DataReference)[]): DataReference {
    const bytes = Buffer.alloc(words.length * 8);
    const reference = this.bytes(bytes);
    for (const [index, word] of words.entries()) {
      if (typeof word === 'object') this.#pointers.push({ at: reference.dataOffset + index * 8, to: word });
      else writeWord(bytes, index * 8, word);
    }
    return reference;
  }

  /** A NULL-terminated array of strings, as execve takes. */
  textList(texts: readonly string[]): DataReference {
    return this.words([...texts.map((text) => this.text(text)), 0]);
  }

  /** The record a header's address points at. */
  describe(address: number): RecordDescription {
    const call = this.#calls[(address - PROGRAM_ADDRESS - RECORD.headerBytes) / RECORD.bytes];
    if (call === undefined) throw new Error(`internal error: no record at ${address}`);
    return { call: call.name, purpose: call.purpose, tag: call.options.tag };
  }

  /** The program's image for the init to map. */
  assemble(): Buffer {
    this.#placeDetours();
    this.#internArguments();
    const targets = this.#resultTargets();
    const lists = new Map([...targets].map(([record, places]) => [record, this.words([...places, 0])]));
    const dataStart = RECORD.headerBytes + this.#calls.length * RECORD.bytes;
    const image = Buffer.alloc(dataStart + this.#dataBytes);
    if (image.length > PROGRAM_SPACE) throw new Error('internal error: the sandbox program is too large');
    for (const { offset, bytes } of this.#chunks) image.set(bytes, dataStart + offset);
    const address = (reference: DataReference): number => PROGRAM_ADDRESS + dataStart + reference.dataOffset;
    for (const { at, to } of this.#pointers) writeWord(image, dataStart + at, address(to));
    for (const [index, call] of this.#calls.entries()) {
      this.#writeRecord(image, index, call, lists.get(index), address);
    }
    return image;
  }

  #placeDetours(): void {
    for (let next = this.#detours.shift(); next !== undefined; next = this.#detours.shift()) {
      this.purpose(next.purpose);
      this.place(next.failed);
      next.otherwise();
      this.jump(next.done);
    }
  }

  /** Data must be complete before addresses are known. */
  #internArguments(): void {
    for (const [index, call] of this.#calls.entries()) {
      const args = call.args.map((arg) => {
        if (typeof arg === 'string') return this.text(arg);
        return arg instanceof Uint8Array ? this.bytes(arg) : arg;
      });
      this.#calls[index] = { ...call, args };
    }
  }

  /** Per record: addresses of the arguments and the data its result goes to. */
  #resultTargets(): Map<number, (number | DataReference)[]> {
    const targets = new Map<number, (number | DataReference)[]>();
    for (const [index, { args, options }] of this.#calls.entries()) {
      if (options.storeAt !== undefined) targets.set(index, [options.storeAt]);
      for (const [position, arg] of args.entries()) {
        if (typeof arg !== 'object' || !('record' in arg)) continue;
        const places = targets.get(arg.record) ?? [];
        places.push(recordAddress(index) + RECORD.argumentsOffset + position * 8);
        targets.set(arg.record, places);
      }
    }
    return targets;
  }

  #writeRecord(
    image: Buffer,
    index: number,
    { name, args, options }: Call,
    results: DataReference | undefined,
    address: (reference: DataReference) => number,
  ): void {
    const at = RECORD.headerBytes + index * RECORD.bytes;
    const target = options.onPositive ?? options.onError;
    image.writeUInt32LE(this.#number(name), at);
    image.writeUInt32LE(recordFlags(options), at + RECORD.flagsOffset);
    for (const [position, arg] of args.entries()) {
      const value = typeof arg === 'object' ? ('dataOffset' in arg ? address(arg) : 0) : (arg ?? 0);
      if (typeof value === 'string') throw new Error('internal error: a text that was not stored');
      writeWord(image, at + RECORD.argumentsOffset + position * 8, value);
    }
    if (target !== undefined) writeWord(image, at + RECORD.jumpOffset, this.#labelAddress(target));
    if (results !== undefined) writeWord(image, at + RECORD.resultsOffset, address(results));
  }

  #labelAddress({ label }: Label): number {
    const record = this.#labels[label] ?? -1;
    if (record < 0) throw new Error('internal error: a label that was never placed');
    return recordAddress(record);
  }
}

function recordAddress(index: number): number {
  return PROGRAM_ADDRESS + RECORD.headerBytes + index * RECORD.bytes;
}

function recordFlags({ ignore, onPositive, onError, onErrno }: CallOptions): number {
  return (
    (ignore === true ? RECORD.ignoreError : 0) |
    (onPositive === undefined ? 0 : RECORD.jumpIfPositive) |
    (onError === undefined ? 0 : RECORD.jumpOnError | ((onErrno ?? 0) << 16))
  );
}

function writeWord(bytes: Buffer, at: number, value: number | bigint): void {
  if (typeof value === 'bigint') {
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);
    return;
  }
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeUInt32LE(value < 0 ? 0xffffffff : Math.floor(value / 2 ** 32), at + 4);
}
