// Named contexts (`--build-context name=…`) and the images and stages they replace.
import { TsbuildError } from '../solver/errors.ts';
import type { Platform } from '../solver/op.ts';
import type { NamedContext } from './convert-options.ts';
import { formatPlatform, normalizePlatform } from './platform.ts';
import { familiarName } from './reference.ts';

/** What stands in for an image or stage. */
export interface FoundContext {
  /** The name it was given under, with its platform when that was part of it. */
  readonly name: string;
  readonly context: NamedContext;
}

/** Names that BuildKit never replaces. */
const RESERVED: ReadonlySet<string> = new Set(['scratch', 'context']);

/** The context that replaces an image or a stage of this name on this platform; one for `name::os/arch` comes first. */
export function findNamedContext(
  contexts: Readonly<Record<string, NamedContext>>,
  name: string,
  platform: Platform,
): FoundContext | undefined {
  const key = contextKey(name);
  if (key === undefined || RESERVED.has(name.toLowerCase())) return undefined;
  const wanted = `${key}::${formatPlatform(normalizePlatform(platform))}`;
  const entries = Object.entries(contexts);
  for (const candidate of [wanted, key]) {
    const found = entries.find(([given]) => givenKey(given) === candidate);
    if (found !== undefined) return { name: found[0], context: found[1] };
  }
  return undefined;
}

function givenKey(given: string): string {
  const [name = '', platform] = given.split('::');
  const key = contextKey(name) ?? name;
  return platform === undefined ? key : `${key}::${platform}`;
}

/** Names are compared as image names: `docker.io/library/x:latest` is `x`. */
function contextKey(name: string): string | undefined {
  try {
    return familiarName(name).replace(/:latest$/, '');
  } catch (error) {
    if (error instanceof TsbuildError) return undefined;
    throw error;
  }
}
