// An ordinary user's way to the rights that building takes. A bundle apart, too: the launcher goes this way before it loads
// the command, which would otherwise be loaded twice.
import { enterUserNamespace } from './sandbox/user-namespace.ts';
import { defaultStoreRoot } from './store/store-root.ts';

/**
 * Starts this very command again as root of a user namespace, with the store where this user has it; does not return.
 * Throws as `enterUserNamespace` does.
 */
export async function enterNamespace(): Promise<never> {
  process.env['TSBUILD_ROOT'] = defaultStoreRoot(process.env, process.getuid?.() ?? 0);
  return await enterUserNamespace();
}
