// Outputs in directories where others have prepared something: another user, or whoever wrote the repository.
import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openSpecial, writeDestination } from '../../src/export/destination.ts';
import { addFile, makeBlobDirectory, replaceFile } from '../../src/export/layout-files.ts';
import { writeLocalDirectory } from '../../src/export/local-directory.ts';
import { writeReports } from '../../src/export/write-results.ts';
import { digestOf } from '../../solver/digest.ts';
import { ContextTree } from '../../src/ops/build-context.ts';
import type { FileTree } from '../../src/snapshot/file-tree.ts';
import { itNeeding } from '../needs.ts';
import { thrown } from '../store/store-rig.ts';

const stdout = new PassThrough();
const BYTES = [Buffer.from('archive')];
const REPORT = { imageID: digestOf('x'), names: [], metadata: { a: 1 } };

describe('an output', () => {
  let dir = '';
  let victim = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tsbuild-hostile-'));
    victim = join(dir, 'victim');
    writeFileSync(victim, 'mine');
    mkdirSync(join(dir, 'out'));
  });
  afterEach(() => {
    expect(readFileSync(victim, 'utf8')).toBe('mine');
    rmSync(dir, { recursive: true });
  });
  const out = (name: string): string => join(dir, 'out', name);

  it('is written through no link that lies in wait for its temporary name', () => {
    for (const name of ['index.json.partial', 'blob.partial']) symlinkSync(victim, out(name));
    symlinkSync(victim, out('index.json'));
    replaceFile(out('index.json'), Buffer.from('{}'));
    addFile(out('index.json'), out('blob'));
    expect(lstatSync(out('index.json')).isFile()).toBe(true);
    expect(readFileSync(out('blob'), 'utf8')).toBe('{}');
    expect(readdirSync(join(dir, 'out')).sort()).toEqual(['blob', 'blob.partial', 'index.json', 'index.json.partial']);
  });

  it.each(['blobs', 'blobs/sha256'])('puts no blob through a link at %s', (name) => {
    mkdirSync(join(dir, 'elsewhere/sha256'), { recursive: true });
    if (name !== 'blobs') mkdirSync(out('blobs'));
    symlinkSync(join(dir, 'elsewhere'), out(name));
    expect(thrown(() => makeBlobDirectory(join(dir, 'out')))).toEqual({
      code: 'TSB_OUTPUT_DEST_INVALID',
      message: `invalid output destination "${dir}/out": "${out(name)}" is a link`,
      hint: 'give an empty directory or an image layout',
    });
  });

  it('that tells of the build replaces a link, and writes into a file and a pipe', async () => {
    symlinkSync(victim, out('iid'));
    symlinkSync(join(dir, 'absent'), out('meta'));
    const write = (): void => writeReports(REPORT, { iidfile: 'iid', metadataFile: 'meta' }, join(dir, 'out'));
    write();
    expect(readFileSync(out('iid'), 'utf8')).toBe(REPORT.imageID);
    expect(lstatSync(out('meta')).isFile()).toBe(true);
    expect(existsSync(join(dir, 'absent'))).toBe(false);
    const { ino } = lstatSync(out('iid'));
    write();
    expect(lstatSync(out('iid')).ino).toBe(ino);
    execFileSync('mkfifo', [out('pipe')]);
    const reader = spawn('cat', [out('pipe')], { stdio: ['ignore', 'pipe', 'inherit'] });
    writeReports(REPORT, { iidfile: 'pipe', metadataFile: undefined }, join(dir, 'out'));
    expect(String((await reader.stdout.toArray()).join(''))).toBe(REPORT.imageID);
  });

  it('goes to what /dev/stdout is, and leaves that name alone', () => {
    const script = `
      const { writeDestination } = await import(${JSON.stringify(new URL('../../src/export/destination.ts', import.meta.url).href)});
      const { writeReports } = await import(${JSON.stringify(new URL('../../src/export/write-results.ts', import.meta.url).href)});
      await writeDestination('/proc/self/fd/1', [Buffer.from('archive')], { stdout: process.stderr });
      writeReports({ imageID: 'id', names: [], metadata: {} }, { iidfile: '/proc/self/fd/3' }, '/');
    `;
    execFileSync('bash', [
      '-c',
      '"$0" --input-type=module -e "$1" >"$2" 3>"$3"',
      process.execPath,
      script,
      out('o'),
      out('i'),
    ]);
    expect([readFileSync(out('o'), 'utf8'), readFileSync(out('i'), 'utf8')]).toEqual(['archive', 'id']);
  });

  /** The image /a, its second name /b, /sub/f and /top; `meddle` is called when the writer asks for what is under a path. */
  function imageWith(meddle: (what: string) => void): FileTree {
    const image = join(dir, 'image');
    mkdirSync(join(image, 'sub'), { recursive: true });
    for (const name of ['a', 'sub/f', 'top']) writeFileSync(join(image, name), 'of the image');
    linkSync(join(image, 'a'), join(image, 'b'));
    chmodSync(join(image, 'top'), 0o4751);
    const tree = new ContextTree(image);
    return {
      lookup: (path, options) => tree.lookup(path, options),
      list: (path) => {
        const entries = tree.list(path);
        meddle(path);
        return entries;
      },
      xattrs: (node) => {
        meddle(`xattrs ${node.path}`);
        return tree.xattrs(node);
      },
    };
  }
  const OWN = { keepsOwners: false };

  it('is not written where a directory of it was, but for a link that has come there', () => {
    mkdirSync(join(dir, 'home'));
    const tree = imageWith((what) => {
      if (what !== '/sub') return;
      renameSync(out('sub'), out('moved'));
      symlinkSync(join(dir, 'home'), out('sub'));
    });
    writeLocalDirectory(join(dir, 'out'), tree, OWN);
    expect(readdirSync(join(dir, 'home'))).toEqual([]);
    expect(readdirSync(out('moved'))).toEqual(['f']);
  });

  it('gives its modes to what was written, not to where a link in its place leads', () => {
    chmodSync(victim, 0o600);
    const tree = imageWith((what) => {
      if (what !== 'xattrs /top') return;
      rmSync(out('top'));
      symlinkSync(victim, out('top'));
    });
    writeLocalDirectory(join(dir, 'out'), tree, OWN);
    expect(lstatSync(victim).mode & 0o7777).toBe(0o600);
  });

  it('gives no second name to what has taken the place of the first', () => {
    const tree = imageWith((what) => {
      if (what !== 'xattrs /a') return;
      rmSync(out('a'));
      linkSync(victim, out('a'));
    });
    expect(() => writeLocalDirectory(join(dir, 'out'), tree, OWN)).toThrow(
      `cannot write "${dir}/out": it has become a link meanwhile`,
    );
    expect(existsSync(out('b'))).toBe(false);
  });

  it.each([false, true])('that is new is given up when its directory has been moved, for a link: %j', (isLink) => {
    const dest = out('new');
    mkdirSync(join(dir, 'home'));
    const tree = imageWith((what) => {
      const [name = ''] = readdirSync(join(dir, 'out')).filter((one) => one.endsWith('.partial'));
      if (what !== '/sub') return;
      renameSync(out(name), out('moved'));
      if (isLink) symlinkSync(join(dir, 'home'), out(name));
      else mkdirSync(out(name));
    });
    expect(() => writeLocalDirectory(dest, tree, OWN)).toThrow(
      `cannot write "${dest}": somebody else has moved it meanwhile`,
    );
    expect(readdirSync(join(dir, 'home'))).toEqual([]);
  });

  itNeeding(['root'], "takes another user's link to a device for a file", async () => {
    symlinkSync('/dev/null', out('x.tar'));
    lchownSync(out('x.tar'), 1234, 1234);
    await writeDestination(out('x.tar'), BYTES, { stdout });
    expect(lstatSync(out('x.tar')).isFile()).toBe(true);
    expect(readFileSync(out('x.tar'), 'utf8')).toBe('archive');
  });

  it('is not written into a file that has taken the place of a pipe', async () => {
    symlinkSync(victim, out('x.tar'));
    await expect(openSpecial(out('x.tar'))).rejects.toMatchObject({
      code: 'TSB_OUTPUT_WRITE_FAILED',
      message: `cannot write "${out('x.tar')}": it has become another file meanwhile`,
    });
  });
});
