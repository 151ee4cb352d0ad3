// What a container has beyond its image's files, by the rules of `docker run`.
import { symlinkSync } from 'node:fs';
import type { ContainerConfig } from '../../frontend/image-config.ts';
import { toFsPath } from '../sys/path-bytes.ts';
import { UpperWriter } from '../snapshot/upper-writer.ts';

interface RootStack {
  readonly upperDir: string;
  readonly lowerDirs: readonly string[];
}

const MOUNTS_LINK = '/etc/mtab';
const DIRECTORY = { mode: 0o755, uid: 0, gid: 0 } as const;

/** Makes the directories of the image's volumes, and the list of mounts that older programs read, where they are missing. */
export function prepareRoot({ upperDir, lowerDirs }: RootStack, config: ContainerConfig, isRootless: boolean): void {
  const writer = new UpperWriter({ upperDir, lowerDirs, isRootless });
  for (const path of Object.keys(config.Volumes ?? {})) {
    if (path.startsWith('/')) writer.ensureDir(path, DIRECTORY);
  }
  if (writer.view.lookup(MOUNTS_LINK) === undefined) {
    writer.ensureDir('/etc', DIRECTORY);
    symlinkSync('/proc/mounts', toFsPath(writer.place(MOUNTS_LINK)));
  }
  writer.finish();
}
