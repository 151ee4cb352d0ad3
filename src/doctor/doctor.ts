// `tsbuild doctor`: can this machine build, and if not, which one setting is in the way.
import { realpathSync } from 'node:fs';
import { USER_NAMESPACE_VARIABLE } from '../sandbox/user-namespace.ts';
import { type Check, checkOf } from './check.ts';
import { checkCgroups, checkKernel, checkSubordinateIds, checkUserNamespace } from './machine-checks.ts';
import type { Store } from '../store/open-store.ts';
import { checkBlobs, checkSpace, checkStore } from './store-checks.ts';

interface DoctorOptions {
  readonly storeRoot: string;
  /** Recomputes the digest of every blob and layer. */
  readonly readsBlobs: boolean;
  /** That steps run with; undefined or empty: the built-in sandbox. */
  readonly ociRuntime: string | undefined;
  readonly now: () => number;
}

/** All checks, in the order in which they matter; the later ones say when an earlier one kept them from being made. */
export async function examine(options: DoctorOptions): Promise<readonly Check[]> {
  const { storeRoot, readsBlobs, ociRuntime, now } = options;
  const machine = [checkKernel(), checkUserNamespace(), checkSubordinateIds()];
  const isDenied = process.env[USER_NAMESPACE_VARIABLE] === 'denied';
  const space = checkSpace(storeRoot);
  const { check, store } = checkStore(storeRoot, now);
  try {
    const canTry = store !== undefined && !isDenied && machine[0]?.status === 'ok';
    const sandbox = canTry ? await trySandbox(store.root) : [notTried(isDenied ? 'no user namespace' : 'no store')];
    const runtime = canTry && ociRuntime ? [await tryRuntime(store.root, ociRuntime)] : [];
    const network =
      canTry && sandbox.every(({ status }) => status !== 'blocked')
        ? await tryNetwork()
        : checkOf('network').warning('not tested: no sandbox', 'see the line that is blocked');
    const blobs = store !== undefined && readsBlobs ? await checkContent(store) : [];
    return [...machine, ...sandbox, ...runtime, check, space, ...blobs, checkCgroups(), network];
  } finally {
    store?.close();
  }
}

async function checkContent(store: Store): Promise<readonly Check[]> {
  const { checkDatabase, checkLayers } = await import('./layer-check.ts');
  return [checkDatabase(store), await checkBlobs(store), checkLayers(store)];
}

async function trySandbox(root: string): Promise<readonly Check[]> {
  const { checkSandbox } = await import('./sandbox-checks.ts');
  return await checkSandbox(realpathSync(root));
}

async function tryRuntime(root: string, name: string): Promise<Check> {
  const { checkOCIRuntime } = await import('./sandbox-checks.ts');
  return await checkOCIRuntime(realpathSync(root), name);
}

async function tryNetwork(): Promise<Check> {
  const { checkNetwork } = await import('./network-check.ts');
  return await checkNetwork();
}

function notTried(reason: string): Check {
  return checkOf('overlay').warning(`not tested: ${reason}`, 'see the line that is blocked');
}
