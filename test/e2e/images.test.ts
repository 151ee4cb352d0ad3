// Ten images of the kinds people build, each as root, as an ordinary user with subordinate ids, and as one without: the
// files that the layers add are the same but for what the table in ../README.md argues.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeNeeding } from '../needs.ts';
import {
  type Caller,
  outputOf,
  PROJECT,
  REGISTRY,
  rootCaller,
  singleIDCaller,
  USER_NEEDS,
  userCaller,
} from './harness.ts';
import { addedFiles, layerCount } from './image-files.ts';

const NAMES = readdirSync(join(PROJECT, 'fixtures/images')).filter((name) => name !== 'base');
const TIMEOUT_MS = 900_000;

/** Files whose bytes no two builds share, by image: their path, mode and owner are compared. */
const PASSING_BYTES: Readonly<Record<string, readonly RegExp[]>> = {
  apt: [/^\/etc\/shadow-?$/],
  git: [/\/\.git\/index$/, /\/\.git\/logs\//],
  postgres: [/^\/var\/lib\/postgresql\/data\//],
  venv: [/\.pyc$/],
};
/** Only root can make a device. */
const DEVICE = /^\/(added|unpacked)\/dev\/(null|loop0)$/;

/** Makes devices.tar: entries of other owners, links, a fifo, a setuid file and two devices. */
const MAKE_TAR = `
import io, sys, tarfile
archive = tarfile.open(sys.argv[1], 'w')
def add(name, kind, mode=0o644, uid=0, gid=0, link='', data=b'', device=(0, 0)):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.linkname, info.size = kind, mode, uid, gid, link, len(data)
    info.mtime, (info.devmajor, info.devminor) = 1600000000, device
    archive.addfile(info, io.BytesIO(data))
add('dir', tarfile.DIRTYPE, 0o2775, 100, 50)
add('dir/file', tarfile.REGTYPE, 0o640, 12, 34, data=b'hello')
add('dir/hard', tarfile.LNKTYPE, link='dir/file')
add('dir/link', tarfile.SYMTYPE, 0o777, 12, 34, link='file')
add('dir/fifo', tarfile.FIFOTYPE, 0o600, 12, 34)
add('dir/setuid', tarfile.REGTYPE, 0o4755, 12, 34, data=b'#!/bin/sh\\n')
add('dev', tarfile.DIRTYPE, 0o755)
add('dev/null', tarfile.CHRTYPE, 0o666, device=(1, 3))
add('dev/loop0', tarfile.BLKTYPE, 0o660, 0, 6, device=(7, 0))
archive.close()
`;

interface Built {
  readonly status: number | null;
  readonly text: string;
}

type Mode = 'root' | 'ranges' | 'single';

let place = '';
let base = '';
const built = new Map<string, Built>();
let noNetwork: string | undefined;
let callers: Readonly<Record<Mode, Caller>> | undefined;

/** Runs the command without waiting for it, so that the callers share the machine. */
async function start(caller: Caller, args: readonly string[]): Promise<Built> {
  const [program = '', ...rest] = [...caller.prefix, ...caller.command, ...args];
  const env = { PATH: process.env['PATH'] ?? '', HOME: caller.home, TSBUILD_ROOT: join(caller.home, 'store') };
  const child = spawn(program, rest, { cwd: caller.home, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { status, text: Buffer.concat(chunks).toString() };
}

/** The packages come over the network once; why there is none, if so. */
function makeBaseImage(): string | undefined {
  const caller = rootCaller();
  try {
    const node = join(place, 'node');
    mkdirSync(node);
    cpSync(process.execPath, join(node, 'node'));
    const npm = dirname(dirname(realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim())));
    const result = caller.tsbuild(
      [
        'build',
        '--progress=plain',
        ...['--build-context', `node=${node}`, '--build-context', `npm=${npm}`],
        ...['--build-arg', `BASE=${REGISTRY}/library/debian:bookworm`],
        ...['-o', `type=oci,tar=false,dest=${base},compression=zstd,compression-level=1`],
        join(PROJECT, 'fixtures/images/base'),
      ],
      { timeoutMs: TIMEOUT_MS },
    );
    const text = outputOf(result);
    if (/Temporary failure resolving|Could not connect|Failed to fetch|Unable to locate/.test(text)) {
      return 'apt has no network here';
    }
    expect(result.status, text).toBe(0);
    return undefined;
  } finally {
    caller.dispose();
  }
}

async function buildAll(mode: Mode, caller: Caller): Promise<void> {
  for (const name of NAMES) {
    const flags = [
      'build',
      '--progress=plain',
      '--build-context',
      `base=oci-layout://${base}`,
      '-t',
      `${name}:${name}`,
    ];
    const output = `type=oci,tar=false,dest=${join(caller.home, 'images')},compression=uncompressed`;
    built.set(`${mode} ${name}`, await start(caller, [...flags, '-o', output, join(place, 'images', name)]));
  }
}

async function filesOf(mode: Mode, name: string): Promise<ReadonlyMap<string, string>> {
  const layout = join(callers?.[mode].home ?? '', 'images');
  const files = await addedFiles(layout, name, layerCount(base));
  const isPassing = (path: string): boolean => (PASSING_BYTES[name] ?? []).some((pattern) => pattern.test(path));
  return new Map(
    [...files].map(([path, line]) => [path, isPassing(path) ? line.replace(/ \d+ [0-9a-f]{64}$/, ' passing') : line]),
  );
}

describeNeeding([...USER_NEEDS, 'lab', 'npm', 'python3', 'useradd'], 'fixtures/images', () => {
  beforeAll(async () => {
    place = mkdtempSync(join(tmpdir(), 'tsbuild-images-'));
    base = join(place, 'base');
    chmodSync(place, 0o755);
    cpSync(join(PROJECT, 'fixtures/images'), join(place, 'images'), { recursive: true });
    execFileSync('python3', ['-c', MAKE_TAR, join(place, 'images/devices/devices.tar')]);
    noNetwork = makeBaseImage();
    spawnSync('chmod', ['-R', 'a+rX', place]);
    if (noNetwork !== undefined) return;
    callers = { root: rootCaller(), ranges: userCaller(), single: singleIDCaller() };
    await Promise.all(
      (['root', 'ranges', 'single'] as const).map((mode) => buildAll(mode, (callers ?? never())[mode])),
    );
  }, TIMEOUT_MS);
  afterAll(() => {
    for (const caller of Object.values(callers ?? {})) caller.dispose();
    rmSync(place, { recursive: true, force: true });
  }, TIMEOUT_MS);

  it.for(NAMES)('%s: has the same files whoever builds it', async (name, { skip }) => {
    if (noNetwork !== undefined) skip(noNetwork);
    for (const mode of ['root', 'ranges', 'single'] as const) {
      const { status, text } = built.get(`${mode} ${name}`) ?? never();
      expect(status, `${mode}: ${text}`).toBe(0);
      expect(text.includes('warning: only one user id is available, so other owners are recorded')).toBe(
        mode === 'single',
      );
    }
    const root = await filesOf('root', name);
    const devices = [...root.keys()].filter((path) => DEVICE.test(path));
    expect(devices).toHaveLength(name === 'devices' ? 4 : 0);
    const expected = [...root].filter(([path]) => !DEVICE.test(path));
    for (const mode of ['ranges', 'single'] as const) {
      expect([...(await filesOf(mode, name))], mode).toEqual(expected);
      const left = (built.get(`${mode} ${name}`)?.text ?? '').match(
        /left out the device "[^"]*": only root can make one/g,
      );
      expect(left ?? []).toHaveLength(devices.length / 2);
    }
  });
});

function never(): never {
  throw new Error('there is none');
}
