import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import { storeRig } from './store-rig.ts';

describe('FetchedFiles', () => {
  const rig = storeRig();

  it('remembers the latest file of each URL', () => {
    const root = rig.root();
    const { fetchedFiles } = rig.open(root);
    const first = {
      digest: digestOf('1'),
      etag: '"1"',
      lastModified: 'Tue, 02 Jan 2024 03:04:05 GMT',
      isDateUnique: true,
    };
    const second = { digest: digestOf('2'), isDateUnique: false };
    expect(fetchedFiles.find('http://a/x')).toBeUndefined();
    fetchedFiles.save('http://a/x', first);
    fetchedFiles.save('http://a/y', second);
    expect(rig.open(root).fetchedFiles.find('http://a/x')).toEqual(first);
    fetchedFiles.save('http://a/x', second);
    expect(fetchedFiles.find('http://a/x')).toEqual(second);
  });

  it('writes no URL down', () => {
    const root = rig.root();
    const store = rig.open(root);
    store.fetchedFiles.save('http://user:word@a/x?key=hidden', { digest: digestOf('1'), isDateUnique: false });
    store.close();
    expect(readFileSync(join(root, 'meta.db')).includes('hidden')).toBe(false);
  });
});
