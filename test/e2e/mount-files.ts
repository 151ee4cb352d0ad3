// What a cache mount holds in tests, and what is kept of it: files as npm keeps its packages.
import { createCipheriv, createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The same bytes on every machine, which no compression makes shorter. */
function noise(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

function sizeOfPackage(number: number): number {
  return number % 100 === 0 ? 1_000_000 : 2_000 + ((number * 7919) % 60_000);
}

/** Numbers of packages that come to at least so many bytes. */
export function packagesOf(bytes: number): readonly number[] {
  const numbers: number[] = [];
  for (let [number, sum] = [0, 0]; sum < bytes; number++) {
    numbers.push(number);
    sum += sizeOfPackage(number);
  }
  return numbers;
}

/** Writes packages, or another version of them; named by digests, in directories by the first digits. Gives their bytes. */
export function writePackages(directory: string, version: string, numbers: readonly number[]): number {
  let bytes = 0;
  for (const number of numbers) {
    const name = createHash('sha512').update(`${number}`).digest('hex');
    const path = join(directory, 'content-v2', name.slice(0, 2), name.slice(2, 4), name.slice(4));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, noise(`${version} ${number}`, sizeOfPackage(number)));
    bytes += sizeOfPackage(number);
  }
  return bytes;
}

/** All that is kept of each file. */
export function treeOf(directory: string): readonly string[] {
  const paths = (readdirSync(directory, { recursive: true }) as string[]).sort();
  return ['.', ...paths].map((path) => {
    const full = join(directory, path);
    const stat = lstatSync(full, { bigint: true });
    const content = stat.isSymbolicLink() ? readlinkSync(full) : '';
    const digest = stat.isFile() ? createHash('sha256').update(readFileSync(full)).digest('hex') : '';
    const links = stat.isFile() ? stat.nlink : '';
    return [path, stat.mode.toString(8), stat.uid, stat.gid, stat.mtimeNs, links, content, digest].join(' ');
  });
}
