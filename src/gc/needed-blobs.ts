// Which blobs something stands for: configs, manifests and layers of the images there are, and blobs of layers there are.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { MetaDatabase } from '../store/meta-database.ts';
import { optionalTextColumn, textColumn } from '../store/meta-database.ts';

/** File names (64 hex digits) of needed blobs. */
export function neededBlobs(root: string, db: MetaDatabase): ReadonlySet<string> {
  const needed = new Set<string>();
  const addTree = (digest: string | undefined): void => {
    const name = digest?.slice('sha256:'.length);
    if (name === undefined || needed.has(name)) return;
    needed.add(name);
    for (const inner of digestsIn(join(root, 'blobs', 'sha256', name))) addTree(inner);
  };
  for (const row of db.all('SELECT config_digest, manifest_digest FROM images')) {
    needed.add(textColumn(row, 'config_digest').slice('sha256:'.length));
    addTree(optionalTextColumn(row, 'manifest_digest'));
  }
  for (const row of db.all('SELECT resolved_digest FROM tags')) addTree(optionalTextColumn(row, 'resolved_digest'));
  for (const row of db.all('SELECT digest FROM layer_blobs UNION SELECT digest FROM fetched_files'))
    needed.add(textColumn(row, 'digest').slice('sha256:'.length));
  return needed;
}

const LARGEST_MANIFEST = 4 << 20;

/** Digests that a manifest or index names; none for what is no such thing or not there. */
function digestsIn(path: string): readonly string[] {
  try {
    if (statSync(path).size > LARGEST_MANIFEST) return [];
    const text = readFileSync(path, 'utf8');
    if (!text.startsWith('{') || !/"(layers|manifests)"/.test(text)) return [];
    return [...text.matchAll(/"digest"\s*:\s*"(sha256:[0-9a-f]{64})"/g)].flatMap(([, digest]) => digest ?? []);
  } catch {
    return [];
  }
}
