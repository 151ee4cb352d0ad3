// A store's files have owners that the kernel knows, or ones that were written down.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { claimStore } from '../../src/store/store-ids.ts';
import { describeNeeding } from '../needs.ts';

const HINT = 'remove it, or name another directory with TSBUILD_ROOT';

describeNeeding(['root'], 'a store', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'tsbuild-store-ids-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('is for several user ids from the first build with them', () => {
    const store = join(root, 'new');
    claimStore(store);
    expect(readFileSync(join(store, 'user-ids'), 'utf8')).toMatch(
      /^several \d+\+\d+(,\d+\+\d+)* \d+\+\d+(,\d+\+\d+)*$/,
    );
    claimStore(store);
  });

  it('stays with several when it has files and no mark', () => {
    mkdirSync(join(root, 'snapshots', '1'), { recursive: true });
    expect(() => claimStore(root)).not.toThrow();
  });

  it.each(['', 'several'])('is taken over with the mark "%s", which does not say all', (mark) => {
    writeFileSync(join(root, 'user-ids'), mark);
    claimStore(root);
    expect(readFileSync(join(root, 'user-ids'), 'utf8')).toMatch(/^several 0\+/);
  });

  it('is refused where its owners were written down and need not be any more', () => {
    writeFileSync(join(root, 'user-ids'), 'single');
    expect(() => claimStore(root)).toThrow(
      expect.objectContaining({
        code: 'TSB_STORE_OTHER_IDS',
        message: `the store ${root} was made where a single user id was available, and there are several now`,
        hint: HINT,
      }),
    );
    expect(readdirSync(root)).toEqual(['user-ids']);
  });

  it('is refused where there were other ids', () => {
    writeFileSync(join(root, 'user-ids'), 'several 0+1,1+10 0+1,1+10');
    expect(() => claimStore(root)).toThrow(
      expect.objectContaining({
        code: 'TSB_STORE_OTHER_IDS',
        message: `the store ${root} was made where user and group ids stood for other ones of this machine than they do now`,
        hint: HINT,
      }),
    );
    expect(readdirSync(root)).toEqual(['user-ids']);
  });
});

/** Root of the first range, and ids from `first` on for what follows. */
const RANGES = (first: number): string => `0 0 1\n1 ${first} 100\n`;
const SINGLE = '0 0 1\n';

describeNeeding(['root', 'unshare'], 'a store in user namespaces that others made', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'tsbuild-store-ids-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const claimScript = `
    const { claimStore } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/store/store-ids.ts'))});
    try { claimStore(process.argv[1]); console.log('claimed'); } catch ({ code, message }) { console.log(code + ' ' + message); }`;

  /** What comes of claiming the store with these mappings of ids. */
  const claimWith = async (uidMap: string, gidMap = uidMap): Promise<string> => {
    const script = 'echo begun; read go; exec "$@"';
    const node = [process.execPath, '--input-type=module', '-e', claimScript, root];
    const child = spawn('unshare', ['--user', 'sh', '-c', script, 'sh', ...node], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await once(child.stdout, 'data');
    writeFileSync(`/proc/${child.pid}/uid_map`, uidMap);
    writeFileSync(`/proc/${child.pid}/gid_map`, gidMap);
    child.stdin.end('go\n');
    await once(child, 'close');
    return text.replace('begun\n', '').trim();
  };

  const other = () =>
    `TSB_STORE_OTHER_IDS the store ${root} was made where user and group ids stood for other ones of this machine than they do now`;

  it('goes on with the mapping that made it, and no other', async () => {
    expect(await claimWith(RANGES(200_000))).toBe('claimed');
    expect(statSync(join(root, 'locks', 'ids-1'))).toMatchObject({ uid: 200_099, gid: 200_099 });
    const made = readdirSync(root, { recursive: true });
    expect(await claimWith(RANGES(200_000))).toBe('claimed');
    expect(await claimWith(RANGES(300_000))).toBe(other());
    expect(await claimWith(RANGES(200_000), RANGES(300_000))).toBe(other());
    expect(await claimWith(RANGES(300_000), RANGES(200_000))).toBe(other());
    expect(await claimWith(RANGES(200_000).replace('100', '99'))).toBe(other());
    expect(await claimWith(SINGLE)).toBe(
      `TSB_STORE_OTHER_IDS the store ${root} was made where several user ids were available, and there is a single one now`,
    );
    expect(() => claimStore(root)).toThrow(other().replace('TSB_STORE_OTHER_IDS ', ''));
    expect(readdirSync(root, { recursive: true })).toEqual(made);
  });

  it('goes on where there is a single id, and nowhere else', async () => {
    expect(await claimWith(SINGLE)).toBe('claimed');
    expect(await claimWith(SINGLE)).toBe('claimed');
    const refusal = `the store ${root} was made where a single user id was available, and there are several now`;
    expect(await claimWith(RANGES(200_000))).toBe(`TSB_STORE_OTHER_IDS ${refusal}`);
    expect(() => claimStore(root)).toThrow(refusal);
  });

  it('is taken over without a mark unless a single id finds files of others', async () => {
    mkdirSync(join(root, 'snapshots', '1', 'fs'), { recursive: true });
    writeFileSync(join(root, 'snapshots', '1', 'fs', 'file'), '');
    expect(await claimWith(SINGLE)).toBe('claimed');
    rmSync(join(root, 'user-ids'));
    chownSync(join(root, 'snapshots', '1', 'fs', 'file'), 0, 42);
    expect(await claimWith(SINGLE)).toContain('TSB_STORE_OTHER_IDS');
    expect(await claimWith(RANGES(200_000))).toBe('claimed');
  });
});
