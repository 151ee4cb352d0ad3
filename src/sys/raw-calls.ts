// System calls by number, on a piece of memory whose address is known: for calls with structures in structures, which
// Node and koffi's own conversions would allocate anew for each.
import { createRequire } from 'node:module';

/** Numbers are ints, addresses or descriptors; all are below 2^53. */
type RawArguments = readonly [number?, number?, number?, number?, number?, number?];

/** See above. Bound to the thread that made it. */
export class RawCalls {
  /** The piece of memory. */
  readonly memory: Buffer;
  readonly #address: number;
  readonly #syscall: (...args: readonly number[]) => number | bigint;
  readonly #errno: () => number;

  constructor(mmapNumber: number, bytes: number) {
    const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
    const library = koffi.load('libc.so.6');
    this.#syscall = library.func('long syscall(long number, long a, long b, long c, long d, long e, long f)');
    this.#errno = () => koffi.errno();
    this.#address = this.call(mmapNumber, 0, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    this.memory = Buffer.from(koffi.view(BigInt(this.#address), bytes));
  }

  /** The result, or the negative errno. */
  call(number: number, ...[a = 0, b = 0, c = 0, d = 0, e = 0, f = 0]: RawArguments): number {
    const result = Number(this.#syscall(number, a, b, c, d, e, f));
    return result === -1 ? -this.#errno() : result;
  }

  /** The address of a place in `memory`. */
  at(offset: number): number {
    return this.#address + offset;
  }
}

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
