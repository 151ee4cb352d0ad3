// Text for a stream whose reader may be slow: what it has not taken yet is kept in order, joined, and given piece by piece.
import type { Writable } from 'node:stream';

/** Bytes given to the stream at once. */
const PIECE_BYTES = 64 * 1024;
/** More than this many characters waiting, and who writes should wait. */
const MOST_WAITING = 1024 * 1024;

/** Text is taken at once, in order and without a limit: whoever makes much of it waits for `room`. */
export interface PacedWriter {
  readonly write: (text: string) => void;
  /** Undefined while there is room; else resolves when the reader has caught up, or is gone. */
  readonly room: () => Promise<void> | undefined;
  /** Resolves when nothing waits any more, or the reader is gone. */
  readonly flushed: () => Promise<void>;
}

/** Writes to the stream, which stays the caller's. Once the stream has failed, text is dropped: nobody is left to read it. */
export function createPacedWriter(stream: Writable): PacedWriter {
  let waiting: string[] = [];
  let waitingLength = 0;
  let pump: Promise<void> | undefined;

  const run = async (): Promise<void> => {
    while (waitingLength > 0 && !stream.destroyed) {
      const text = waiting.join('');
      const bytes = Buffer.from(text);
      waiting = [];
      for (let at = 0; at < bytes.length && !stream.destroyed; at += PIECE_BYTES) {
        const piece = bytes.subarray(at, at + PIECE_BYTES);
        await new Promise<void>((resolve) => stream.write(piece, () => resolve()));
      }
      waitingLength -= text.length;
    }
    waiting = [];
    waitingLength = 0;
    pump = undefined;
  };

  return {
    write(text) {
      if (text === '') return;
      if (pump === undefined && stream.writableLength === 0) {
        stream.write(text);
        return;
      }
      waiting.push(text);
      waitingLength += text.length;
      pump ??= run();
    },
    room: () => (waitingLength > MOST_WAITING ? pump : undefined),
    flushed: async () => await pump,
  };
}
