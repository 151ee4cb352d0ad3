// Who owns the files of a store is either the kernel's knowledge or written down beside them (see sys/recorded-owner.ts): what
// one way of building has made, the other would misread. So a store of an ordinary user belongs to one of them.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import { singleIDFix } from '../sandbox/user-namespace.ts';
import { recordsOwners } from '../sys/recorded-owner.ts';
import { openPrivateRoot } from './private-root.ts';
import { withStoreErrors } from './store-errors.ts';

const MARK = 'user-ids';
const ELSEWHERE = 'remove it, or name another directory with TSBUILD_ROOT';

/** To be called before a store is opened in a user namespace. Throws TSB_STORE_OTHER_IDS, TSB_STORE_…. */
export function claimStore(root: string): void {
  withStoreErrors(root, () => openPrivateRoot(root));
  const [own, found] = [recordsOwners() ? 'single' : 'several', ownersOf(root)];
  if (found === own) return;
  if (found === undefined) {
    withStoreErrors(root, () => writeFileSync(join(root, MARK), own));
    return;
  }
  const why =
    own === 'several'
      ? 'was made where a single user id was available, and there are several now'
      : 'was made where several user ids were available, and there is a single one now';
  throw new TsbuildError('TSB_STORE_OTHER_IDS', `the store ${root} ${why}`, {
    hint: own === 'several' ? ELSEWHERE : `to use it, ${singleIDFix()}; else ${ELSEWHERE}`,
  });
}

/** Undefined for a store without files of images. */
function ownersOf(root: string): string | undefined {
  const [mark, snapshots] = [join(root, MARK), join(root, 'snapshots')];
  if (existsSync(mark)) return readFileSync(mark, 'utf8');
  return existsSync(snapshots) && readdirSync(snapshots).length > 0 ? 'several' : undefined;
}
