// The time of an archive.
import { TsbuildError } from '../../solver/errors.ts';
import { openArchive } from '../diff/archive.ts';
import { readTar } from '../diff/tar-reader.ts';

/** That of the newest file in the archive, ms since the epoch in whole seconds; undefined for a file that is no archive. */
export async function newestTimeMs(path: string): Promise<number | undefined> {
  const archive = await openArchive(path);
  if (archive === undefined) return undefined;
  let newest: number | undefined;
  try {
    await readTar(archive, ({ type, mtimeSeconds }) => {
      if (type === 'file') newest = Math.max(newest ?? 0, Math.floor(mtimeSeconds));
      return undefined;
    });
  } catch (error) {
    if (error instanceof TsbuildError) return undefined;
    throw error;
  }
  return newest === undefined ? undefined : newest * 1000;
}
