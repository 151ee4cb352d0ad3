// How layers, and file systems without device nodes, write down what is deleted: as files of these names.
// https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts

/** Before the name of what is deleted. */
export const WHITEOUT_PREFIX = '.wh.';

/** In a directory that hides all that is below it. */
export const OPAQUE_NAME = '.wh..wh..opq';
