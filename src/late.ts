// What a fully cached build never needs is loaded on first use.

/** Loaded at most once, unless loading fails: then the next call tries again. */
export interface Late<T> {
  /** Loads it on the first call; the same one ever after. */
  readonly get: () => Promise<T>;
  /** It, if anybody has asked for it. */
  readonly ifLoaded: () => Promise<T | undefined>;
}

/** See Late. A load that fails is tried again by the next call. */
export function late<T>(load: () => Promise<T>): Late<T> {
  let loaded: Promise<T> | undefined;
  return {
    get: () => {
      loaded ??= load().catch((error: unknown) => {
        loaded = undefined;
        throw error;
      });
      return loaded;
    },
    ifLoaded: async () => await loaded?.catch(() => undefined),
  };
}
