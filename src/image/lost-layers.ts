// Layers that were promised and cannot be had in this build: their registry or bucket does not answer or refuses, or has
// lost the blob. What is known of one is true of all others there, so each place is asked in vain once.
import { TsbuildError } from '../../solver/errors.ts';
import { type LayerPlace, type LazyLayer, placeText } from './lazy-note.ts';

/** Why bytes cannot be had. */
export interface Loss {
  /** As the fetch said it. */
  readonly error: TsbuildError;
  /** A later build may find the bytes there again. */
  readonly isAway: boolean;
}

/** What can be said of the way to bytes; the rest, such as a full disk, is no loss. */
const LOSS = /^TSB_(?:REGISTRY|S3|LAYOUT)_(?!CONFIG_)|^TSB_LAYER_STALLED$|^TSB_CONTENT_(?:DIGEST_MISMATCH|INCOMPLETE)$/;
/** The place is there, and the blob is not. */
const OF_BLOB = /_NOT_FOUND$|^TSB_LAYOUT_|^TSB_CONTENT_/;

/** One for a build. */
export class LostLayers {
  readonly #places = new Map<string, TsbuildError>();
  readonly #blobs = new Map<string, TsbuildError>();
  readonly #errors = new WeakMap<TsbuildError, { readonly place: LayerPlace; readonly key: string }>();
  /** Losses that somebody has begun anew for. */
  readonly #survived = new Set<string>();
  readonly #told = new Set<string>();
  readonly #warn: (message: string) => void;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Takes note of a failed fetch, if it means that bytes cannot be had. */
  add({ blob, place }: LazyLayer, error: unknown): void {
    if (!(error instanceof TsbuildError) || !LOSS.test(error.code)) return;
    const [losses, key] = OF_BLOB.test(error.code)
      ? [this.#blobs, `${placeText(place)} ${blob.digest}`]
      : [this.#places, placeText(place)];
    this.#errors.set(error, { place, key });
    losses.set(key, error);
  }

  find({ blob, place }: LazyLayer): Loss | undefined {
    const away = this.#places.get(placeText(place));
    if (away !== undefined) return { error: away, isAway: true };
    const gone = this.#blobs.get(`${placeText(place)} ${blob.digest}`);
    return gone && { error: gone, isAway: false };
  }

  /** True for the error of a loss, which is told, if it is worth to begin anew without what is lost: once for each loss. */
  tellNew(error: unknown): boolean {
    const loss = error instanceof TsbuildError ? this.#errors.get(error) : undefined;
    if (!(error instanceof TsbuildError) || loss === undefined || this.#survived.has(loss.key)) return false;
    this.#survived.add(loss.key);
    this.tell(loss.place, error);
    return true;
  }

  /** Says once for each place what follows from a loss. */
  tell(place: LayerPlace, { message }: TsbuildError): void {
    const name = placeText(place);
    if (this.#told.has(name)) return;
    this.#told.add(name);
    this.#warn(`cannot use cached layers of ${name}, so steps whose results are only there run again: ${message}`);
  }
}
