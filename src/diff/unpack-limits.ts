// How much an archive or a layer may become. What is packed well is small to fetch and fills a disk all the same.
import { TsbuildError } from '../../solver/errors.ts';

/** Neither may be exceeded; the first that is ends the unpacking. */
export interface UnpackLimits {
  /** Of the uncompressed tar. */
  readonly bytes: number;
  readonly entries: number;
}

const GIB = 2 ** 30;
const DEFAULT_BYTES = 64 * GIB;
const MAX_ENTRIES = 4_000_000;
const SIZE = /^(\d+)([kmgt]?)b?$/i;

/** `TSBUILD_UNPACK_LIMIT` as a size such as `200g`, else 64 GiB; four million entries. Throws TSB_USAGE_UNPACK_LIMIT. */
export function unpackLimits(setting = process.env['TSBUILD_UNPACK_LIMIT']): UnpackLimits {
  if (setting === undefined || setting === '') return { bytes: DEFAULT_BYTES, entries: MAX_ENTRIES };
  const [, count, unit = ''] = SIZE.exec(setting) ?? [];
  if (count === undefined) {
    throw new TsbuildError(
      'TSB_USAGE_UNPACK_LIMIT',
      `invalid TSBUILD_UNPACK_LIMIT "${setting}": expected a size such as 200g`,
      {
        exitCode: 2,
      },
    );
  }
  return {
    bytes: Number(count) * 1024 ** ' kmgt'.indexOf(unit === '' ? ' ' : unit.toLowerCase()),
    entries: MAX_ENTRIES,
  };
}

/** Counts what comes out of one archive. */
export class UnpackMeter {
  readonly #limits: UnpackLimits;
  #bytes = 0;
  #entries = 0;

  constructor(limits: UnpackLimits = unpackLimits()) {
    this.#limits = limits;
  }

  /** Throws TSB_LAYER_TOO_LARGE. */
  addBytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#limits.bytes) throw tooLarge(`it unpacks to more than ${sizeText(this.#limits.bytes)}`);
  }

  /** Throws TSB_LAYER_TOO_LARGE, also when the entry's header announces more than may come. */
  addEntry({ name, size }: { readonly name: string; readonly size: number }): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.entries) throw tooLarge(`it has more than ${this.#limits.entries} entries`);
    if (size > this.#limits.bytes) throw tooLarge(`"${name}" alone is larger than ${sizeText(this.#limits.bytes)}`);
  }
}

function tooLarge(fact: string): TsbuildError {
  return new TsbuildError('TSB_LAYER_TOO_LARGE', `refused to unpack an archive: ${fact}`, {
    hint: 'when it is what it should be, set TSBUILD_UNPACK_LIMIT, such as TSBUILD_UNPACK_LIMIT=200g',
  });
}

function sizeText(bytes: number): string {
  const unit = [
    ['GiB', GIB],
    ['MiB', 2 ** 20],
    ['KiB', 1024],
  ].find(([, size]) => bytes >= Number(size)) ?? ['bytes', 1];
  return `${Math.floor(bytes / Number(unit[1]))} ${unit[0]}`;
}
