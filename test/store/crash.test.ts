import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import type { Store } from '../../src/store/open-store.ts';
import { storeRig } from './store-rig.ts';

const KILLS = 50;

describe('a store whose processes are killed', () => {
  const rig = storeRig();

  it(`keeps every finished step and nothing else after ${KILLS} kills at random moments`, async () => {
    const root = rig.root();
    rig.open(root).close();
    const finished: string[] = [];
    // Two at a time, so that one is killed while the other reaps and writes.
    for (let run = 0; run < KILLS; run += 2) {
      const lists = await Promise.all([runAndKill(root, `r${run}`), runAndKill(root, `r${run + 1}`)]);
      finished.push(...lists.flat());
    }
    const store = rig.open(root);
    expect(store.db.get('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' });
    expect(finished.length).toBeGreaterThan(KILLS / 5);
    for (const step of finished) expectWhole(store, step);
    expectNothingHeld(store);
    store.close({ sweepBudgetMs: 60_000 });
    const after = rig.open(root);
    const recorded = after.db
      .all('SELECT directory FROM snapshots')
      .map(({ directory }) => Number(directory).toString(36));
    expect(readdirSync(join(root, 'snapshots')).sort()).toEqual(recorded.sort());
    expect(readdirSync(join(root, 'tmp'))).toEqual([]);
  });

  it('takes over only from the dead', async () => {
    const root = rig.root();
    const child = startChild(root, 'alive');
    await once(child.stdout, 'data');
    const store = rig.open(root);
    const running = (): unknown => store.db.get(`SELECT count(*) AS n FROM builds WHERE status = 'running'`);
    const leased = (): boolean => store.db.get('SELECT id FROM leases') !== undefined;
    expect([running(), leased()]).toEqual([{ n: 1 }, true]);
    child.kill('SIGKILL');
    await once(child, 'exit');
    rig.open(root);
    expect([running(), leased()]).toEqual([{ n: 0 }, false]);
    expect(store.builds.list().map(({ status }) => status)).toEqual(['interrupted']);
  });
});

function startChild(root: string, run: string) {
  const script = new URL('./crash-child.ts', import.meta.url).pathname;
  return spawn(process.execPath, [script, root, run], { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Steps the child announced before it was killed, which happens up to 60 ms after it began. */
async function runAndKill(root: string, run: string): Promise<readonly string[]> {
  const child = startChild(root, run);
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  await Promise.race([once(reader, 'line'), once(child, 'exit')]);
  // Not a wait for something to happen: the moment itself is what is varied.
  await delay(Math.random() * 60);
  expect(child.exitCode).toBeNull();
  child.kill('SIGKILL');
  await once(reader, 'close');
  // The last line may be cut.
  return lines.slice(1).filter((line) => line.startsWith(`${run}-`));
}

function expectWhole(store: Store, step: string): void {
  const snapshot = store.snapshotter.findByChainID(step);
  if (snapshot === undefined) throw new Error(`no snapshot for ${step}`);
  const [directory] = store.snapshotter.stack(snapshot);
  for (let file = 0; file < 5; file += 1)
    expect(readFileSync(join(directory ?? '', `dir/f${file}`), 'utf8')).toBe(step);
  expect(store.content.read(digestOf(step)).toString()).toBe(step);
  const [key] = store.cacheStore.find({ digest: digestOf(step), output: 0, inputs: [] });
  expect(store.cacheStore.records(key ?? '').map(({ resultID }) => resultID)).toEqual([snapshot]);
}

function expectNothingHeld(store: Store): void {
  for (const table of ['actives', 'leases', 'owners']) expect(store.db.all(`SELECT * FROM ${table}`)).toEqual([]);
  expect(store.db.all(`SELECT id FROM builds WHERE status <> 'interrupted'`)).toEqual([]);
  expect(existsSync(join(store.root, 'meta.db'))).toBe(true);
}
