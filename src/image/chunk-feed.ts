// Bytes that pass one reader on their way to another. The first (the content store) sets the pace together with the second
// (the unpacker); when the second leaves early, the first goes on alone, and when the first fails, the second fails, too.

type State = 'idle' | 'flowing' | 'ended' | 'abandoned';

/** The bytes cannot be had on the way; they must be read where they have been written to. */
export class FeedAbandonedError extends Error {
  readonly code = 'FEED_ABANDONED';

  constructor() {
    super('the bytes do not pass here');
    this.name = 'FeedAbandonedError';
  }
}

/** At most one chunk waits in it, so that a slow reader slows the source down and nothing piles up. */
export class ChunkFeed implements AsyncIterable<Uint8Array> {
  #state: State = 'idle';
  #chunk: Uint8Array | undefined;
  #isWanted = false;
  #isReaderGone = false;
  #wake: () => void = () => {};

  /** A reader waits from now on; false when it comes too late. */
  want(): boolean {
    this.#isWanted = true;
    return this.#state === 'idle';
  }

  /** The reader needs no (more) bytes, whether or not it has begun. */
  release(): void {
    this.#isReaderGone = true;
    this.#chunk = undefined;
    this.#signal();
  }

  /** False when nobody waits, or when bytes have passed before: they cannot be taken back. */
  begin(): boolean {
    if (this.#state !== 'idle' || !this.#isWanted) return false;
    this.#state = 'flowing';
    return true;
  }

  /** No bytes, or no further ones, will pass: the reader fails with FeedAbandonedError. */
  abandon(): void {
    if (this.#state !== 'ended') this.#setState('abandoned');
  }

  /** The same chunks, each shown to the reader first. */
  async *tee(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of chunks) {
        await this.#push(chunk);
        yield chunk;
      }
      await this.#drained();
      if (this.#state === 'flowing') this.#setState('ended');
    } finally {
      this.abandon();
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      while (true) {
        const chunk = this.#chunk;
        if (chunk !== undefined) {
          this.#chunk = undefined;
          this.#signal();
          yield chunk;
        } else if (this.#state === 'ended') return;
        else if (this.#state === 'abandoned') throw new FeedAbandonedError();
        else await this.#change();
      }
    } finally {
      this.release();
    }
  }

  async #push(chunk: Uint8Array): Promise<void> {
    await this.#drained();
    if (this.#isReaderGone || this.#state !== 'flowing') return;
    this.#chunk = chunk;
    this.#signal();
  }

  async #drained(): Promise<void> {
    while (this.#chunk !== undefined && !this.#isReaderGone && this.#state === 'flowing') await this.#change();
  }

  #setState(state: State): void {
    this.#state = state;
    this.#signal();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const previous = this.#wake;
      this.#wake = () => {
        previous();
        resolve();
      };
    });
  }

  #signal(): void {
    const wake = this.#wake;
    this.#wake = () => {};
    wake();
  }
}
