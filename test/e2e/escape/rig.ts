// What the escape tests share: images of the test's making, a file on the host that nobody inside may see or change, and
// programs that make one system call each.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encodeTarHeader, TAR_END_LENGTH, type TarEntry, tarPadding } from '../../../src/diff/tar-writer.ts';
import { initImage } from '../../../src/sandbox/init-image.ts';
import { type CallArgument, InitProgram } from '../../../src/sandbox/init-program.ts';
import { machineArch } from '../../../src/sandbox/sandbox-host.ts';
import type { SyscallName } from '../../../src/sandbox/syscalls.ts';
import type { Caller, RunOptions } from '../harness.ts';

export const BUSYBOX = '/bin/busybox';

export type Entry = Partial<TarEntry> & { readonly name: string; readonly text?: string | Buffer };

/** A tar of these entries, however odd. */
export function tarOf(entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap(({ text = '', ...entry }) => {
    const type = entry.type ?? (entry.name.endsWith('/') ? 'dir' : 'file');
    const bytes = Buffer.from(text);
    const defaults = { mode: type === 'dir' ? 0o755 : 0o644, uid: 0, gid: 0, mtimeSeconds: 1_600_000_000 };
    const header = encodeTarHeader({ size: bytes.length, ...defaults, ...entry, type });
    return [header, bytes, Buffer.alloc(tarPadding(bytes.length))];
  });
  return Buffer.concat([...parts, Buffer.alloc(TAR_END_LENGTH)]);
}

let busybox: Buffer | undefined;

/** The layer below all others: busybox, under the names of the programs used here. */
export function busyboxLayer(): Buffer {
  busybox ??= makeBusyboxLayer();
  return busybox;
}

function makeBusyboxLayer(): Buffer {
  const names =
    'sh cat ls mkdir touch mknod mount umount sleep stat grep head id true kill chmod cp find wc env dd pwd echo ln rm readlink tail basename';
  return tarOf([
    { name: 'bin/' },
    { name: 'tmp/', mode: 0o1777 },
    { name: 'etc/' },
    { name: 'bin/busybox', mode: 0o755, text: readFileSync(BUSYBOX) },
    ...names.split(' ').map((name) => ({ name: `bin/${name}`, type: 'symlink' as const, linkName: 'busybox' })),
  ]);
}

export const USERS: readonly Entry[] = [
  { name: 'etc/passwd', text: 'root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n' },
  { name: 'etc/group', text: 'root:x:0:\napp:x:1000:\n' },
];

const packed = new Map<Buffer, Buffer>();

function pack(layer: Buffer): Buffer {
  const blob = packed.get(layer) ?? gzipSync(layer, { level: 1 });
  packed.set(layer, blob);
  return blob;
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export interface LayoutOptions {
  readonly config?: object;
  /** Changes a layer's descriptor in the manifest. */
  readonly describe?: (descriptor: { digest: string; size: number }) => object;
  readonly diffID?: (digest: string) => string;
  /** Layers as they are instead of gzip of tars. */
  readonly blobs?: readonly Buffer[];
}

/** Writes an OCI layout with these layers into a new directory of the caller's and returns its path. */
export function writeLayout(caller: Caller, layers: readonly Buffer[], options: LayoutOptions = {}): string {
  const place = mkdtempSync(join(caller.home, 'image-'));
  mkdirSync(join(place, 'blobs/sha256'), { recursive: true });
  const writeBlob = (bytes: Buffer): { digest: string; size: number } => {
    writeFileSync(join(place, 'blobs/sha256', sha256(bytes)), bytes);
    return { digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const ids = layers.map((layer) => `sha256:${sha256(layer)}`).map(options.diffID ?? ((id) => id));
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: ids };
  const config = writeBlob(
    Buffer.from(JSON.stringify({ architecture, os: 'linux', config: options.config ?? {}, rootfs })),
  );
  const blobs = (options.blobs ?? layers.map(pack)).map(writeBlob);
  const manifest = writeBlob(
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
        layers: blobs.map((blob) => ({
          mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
          ...(options.describe?.(blob) ?? blob),
        })),
      }),
    ),
  );
  writeFileSync(join(place, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const index = { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest };
  writeFileSync(join(place, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [index] }));
  handOver(caller, place);
  return place;
}

/** Gives what was made as root to the caller. */
export function handOver(caller: Caller, path: string): void {
  execFileSync('chown', ['-hR', `--reference=${caller.home}`, path]);
}

/** A secret file and a directory on the host, and what has become of them. */
export class Outside {
  readonly dir: string;
  readonly canary: string;
  readonly secret: string;

  constructor(caller: Caller) {
    this.dir = mkdtempSync(join(caller.home, 'outside-'));
    this.canary = join(this.dir, 'canary');
    this.secret = `canary ${Math.random()}`;
    writeFileSync(this.canary, this.secret);
    handOver(caller, this.dir);
  }

  /** One line on each change; empty when all is as it was. */
  changes(): readonly string[] {
    const names = readdirSync(this.dir).filter((name) => name !== 'canary');
    const isWhole = readFileSync(this.canary, 'utf8') === this.secret;
    return [...names.map((name) => `${name} was made`), ...(isWhole ? [] : ['the canary was changed'])];
  }
}

/** Copies busybox and the program interpreter into a context directory. */
export function addTools(context: string): void {
  copyFileSync(BUSYBOX, join(context, 'busybox'));
  writeFileSync(join(context, 'init'), initImage(machineArch()), { mode: 0o755 });
}

export type Call = readonly [name: string, ...args: readonly CallArgument[]];

/** Exit codes of a program of `attempt`. */
const REFUSED = 0;
const SUCCEEDED = 1;

/** A program for `init 3<>FILE`: makes the calls; `REFUSED` when the last one fails with the errno, 125 with another. */
export function attempt(calls: readonly Call[], errno: number): Buffer {
  const program = new InitProgram(machineArch());
  const refused = program.label();
  for (const [index, [name, ...args]] of calls.entries()) {
    const isLast = index === calls.length - 1;
    program.call(name as SyscallName, args, isLast ? { onError: refused, onErrno: errno } : { ignore: true });
  }
  program.call('exit_group', [SUCCEEDED]);
  program.place(refused);
  program.call('exit_group', [REFUSED]);
  return program.assemble();
}

/** Builds with progress in plain form; both streams in one text. */
export function buildWith(
  caller: Caller,
  context: string,
  images: Readonly<Record<string, string>>,
  { flags = [], ...options }: RunOptions & { readonly flags?: readonly string[] } = {},
): { readonly status: number | null; readonly text: string } {
  const named = Object.entries(images).flatMap(([name, layout]) => [
    '--build-context',
    `${name}=oci-layout://${layout}`,
  ]);
  const args = ['build', '--progress=plain', ...named, ...flags, context];
  const result = caller.tsbuild(args, { timeoutMs: 60_000, ...options });
  return { status: result.status, text: `${result.stdout}${result.stderr}` };
}
