// Names on disk are bytes; paths in this project are strings. A byte that is not part of valid UTF-8 stands in a string
// as the lone surrogate U+DC80..U+DCFF (as Python's surrogateescape does), so that every name survives the way in and out.
import { isUtf8 } from 'node:buffer';
import { readdirSync } from 'node:fs';

const ESCAPE_BASE = 0xdc00;

/** The name as a string; invalid bytes become lone surrogates. */
export function decodeName(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    text +=
      length === 0 ? String.fromCharCode(ESCAPE_BASE + (bytes[at] ?? 0)) : bytes.toString('utf8', at, at + length);
    at += Math.max(length, 1);
  }
  return text;
}

function sequenceLength(bytes: Buffer, at: number): number {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    if (isUtf8(bytes.subarray(at, at + length))) return length;
  }
  return 0;
}

/** The bytes that `decodeName` made the string of. */
export function encodeName(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const isEscape = code >= ESCAPE_BASE + 0x80 && code <= ESCAPE_BASE + 0xff;
    parts.push(isEscape ? Buffer.from([code - ESCAPE_BASE]) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

/** The path as node:fs must be given it: itself, or its bytes when they are not UTF-8. */
export function toFsPath(path: string): string | Buffer {
  return path.isWellFormed() ? path : encodeName(path);
}

const BEYOND_BMP_ORDER = /[\uD800-\uFFFF]/;

/** Sorts names by their bytes, in place. UTF-16 order differs from byte order only where surrogates meet U+E000..U+FFFF. */
export function sortNames(names: string[]): string[] {
  names.sort();
  if (names.some((name) => BEYOND_BMP_ORDER.test(name))) {
    names.sort((a, b) => Buffer.compare(encodeName(a), encodeName(b)));
  }
  return names;
}

/** Names of a directory's entries in byte order. */
export function readNames(directory: string): string[] {
  const path = toFsPath(directory);
  const names = readdirSync(path);
  // U+FFFD is what Node puts in the place of invalid bytes; it may also be a name's own character.
  if (!names.some((name) => name.includes('\uFFFD'))) return sortNames(names);
  return sortNames(readdirSync(path, { encoding: 'buffer' }).map(decodeName));
}
