// The version, taken from package.json when the command is bundled.
import manifest from '../package.json' with { type: 'json' };

/** Semantic version of this tsbuild. */
export const VERSION: string = manifest.version;
