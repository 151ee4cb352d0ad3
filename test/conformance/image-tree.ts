// What is in an image archive, as text to compare: the config, the history, and a line for every file of its root.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { readTar, type TarReadEntry } from '../../src/diff/tar-reader.ts';

export interface ImageContents {
  readonly config: Readonly<Record<string, unknown>>;
  /** `created_by | comment | empty layer`. */
  readonly history: readonly string[];
  /** Lines by path. */
  readonly files: ReadonlyMap<string, string>;
}

interface DockerManifest {
  readonly Config: string;
  readonly Layers: readonly string[];
}

interface Config {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly author?: string;
  readonly os: string;
  readonly architecture: string;
  readonly history?: readonly {
    readonly created_by?: string;
    readonly comment?: string;
    readonly empty_layer?: boolean;
  }[];
}

interface Member {
  readonly entry: TarReadEntry;
  readonly bytes: Buffer;
  /** Path of the first name of the file. */
  inode: string;
}

/** Times later than this are of the build and not of its input. Those of directories are left out: BuildKit changed them since 20.10. */
const RECENT_SECONDS = Date.UTC(2020, 0) / 1000;

/** Reads an archive of `docker save` or `-o type=docker`. */
export async function readImage(path: string): Promise<ImageContents> {
  const archive = new Map<string, Member>();
  for (const member of await membersOf(readFileSync(path))) archive.set(posix.normalize(member.entry.name), member);
  const text = (name: string): Buffer => {
    const member = archive.get(posix.normalize(name));
    if (member === undefined) throw new Error(`${path} has no ${name}`);
    // `docker save` writes equal layers once, and links to them.
    return member.entry.type === 'symlink' ? text(posix.join(dirname(name), member.entry.linkName)) : member.bytes;
  };
  const [manifest] = JSON.parse(text('manifest.json').toString()) as DockerManifest[];
  if (manifest === undefined) throw new Error(`${path} has no image`);
  const root = new Map<string, Member>();
  for (const layer of manifest.Layers) applyLayer(root, await membersOf(unzipped(text(layer))));
  const config = JSON.parse(text(manifest.Config).toString()) as Config;
  return { config: configOf(config), history: historyOf(config), files: linesOf(root) };
}

function unzipped(bytes: Buffer): Buffer {
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
}

async function membersOf(tar: Buffer): Promise<readonly Member[]> {
  const members: Member[] = [];
  await readTar(one(tar), (entry) => {
    const pieces: Buffer[] = [];
    return {
      write: (bytes) => pieces.push(Buffer.from(bytes)),
      end: () => members.push({ entry, bytes: Buffer.concat(pieces), inode: pathOf(entry.name) }),
    };
  });
  return members;
}

async function* one(bytes: Buffer): AsyncIterable<Uint8Array> {
  yield bytes;
}

function pathOf(name: string): string {
  return posix.join('/', name).replace(/(.)\/$/, '$1');
}

function applyLayer(root: Map<string, Member>, members: readonly Member[]): void {
  for (const { entry } of members) {
    const path = pathOf(entry.name);
    const name = posix.basename(path);
    const folder = posix.dirname(path);
    if (name === '.wh..wh..opq') remove(root, folder, false);
    else if (name.startsWith('.wh.')) remove(root, posix.join(folder, name.slice(4)), true);
  }
  for (const member of members) {
    const path = pathOf(member.entry.name);
    if (posix.basename(path).startsWith('.wh.')) continue;
    if (member.entry.type !== 'dir' && root.get(path)?.entry.type === 'dir') remove(root, path, true);
    const target = member.entry.type === 'link' ? root.get(pathOf(member.entry.linkName)) : undefined;
    root.set(path, target ?? member);
  }
}

function remove(root: Map<string, Member>, path: string, isWhole: boolean): void {
  const below = path === '/' ? '/' : `${path}/`;
  for (const name of root.keys()) if (name.startsWith(below) || (isWhole && name === path)) root.delete(name);
}

function linesOf(root: ReadonlyMap<string, Member>): ReadonlyMap<string, string> {
  const names = new Map<Member, string[]>();
  for (const [path, member] of root) names.set(member, [...(names.get(member) ?? []), path]);
  const lines = new Map<string, string>();
  for (const [path, member] of [...root].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (path !== '/') lines.set(path, lineOf(member, (names.get(member) ?? []).sort()));
  }
  return lines;
}

function lineOf({ entry, bytes }: Member, names: readonly string[]): string {
  const { type, mode, uid, gid, linkName, rdev, xattrs, mtimeSeconds } = entry;
  const parts: string[] = [type, mode.toString(8).padStart(4, '0'), `${uid}:${gid}`];
  if (type === 'file') parts.push(`${bytes.length}`, createHash('sha256').update(bytes).digest('hex').slice(0, 16));
  if (type === 'symlink') parts.push(`-> ${linkName}`);
  if (rdev !== undefined && (type === 'char' || type === 'block')) parts.push(`${rdev.major},${rdev.minor}`);
  for (const [name, value] of [...xattrs].sort()) parts.push(`${name}=${value.toString('hex')}`);
  if (names.length > 1) parts.push(`also ${names.length < 9 ? names.join(' ') : names.length}`);
  if (type !== 'dir') parts.push(mtimeSeconds < RECENT_SECONDS ? `at ${Math.floor(mtimeSeconds)}` : 'new');
  return parts.join(' ');
}

function configOf({ config = {}, author, os, architecture }: Config): Readonly<Record<string, unknown>> {
  const isSet = (value: unknown): boolean => {
    if (value === null || value === '' || value === false || value === undefined) return false;
    return typeof value !== 'object' || Object.keys(value).length > 0;
  };
  const set = Object.entries(config).filter(([, value]) => isSet(value));
  return { ...Object.fromEntries(set), os, architecture, ...(author ? { author } : {}) };
}

function historyOf({ history = [] }: Config): readonly string[] {
  return history.map((entry) => [entry.created_by, entry.comment, entry.empty_layer ?? false].join(' | '));
}
