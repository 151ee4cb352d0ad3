// What the launcher becomes before it loads the command, which would otherwise be loaded twice: root of a user namespace, or
// a newer Node. A bundle apart, which an older Node can load.
import { enterUserNamespace } from './sandbox/user-namespace.ts';
import { replaceProcess } from './sys/replace-process.ts';
import { defaultStoreRoot } from './store/store-root.ts';

/**
 * Starts this very command again as root of a user namespace, with the store where this user has it; does not return.
 * Throws as `enterUserNamespace` does.
 */
export async function enterNamespace(): Promise<never> {
  process.env['TSBUILD_ROOT'] = defaultStoreRoot(process.env, process.getuid?.() ?? 0);
  return await enterUserNamespace();
}

/**
 * Starts this very command again with another Node, in this process: whoever started it has that one, with all its signals.
 * Does not return; throws SystemCallError.
 */
export function becomeNode(node: string): never {
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  return replaceProcess({ path: node, argv: [node, ...process.argv.slice(1)], env });
}
