// Standard error of a run through an OCI runtime: the runtime itself writes there, too, when it cannot start the command.
import { Writable } from 'node:stream';

/** How runc begins what it also writes to its log. */
const RUNTIME_START = 'runc run failed: ';
const MOST_HELD = 4096;

/** Passes everything on, but holds what begins as the runtime's own words until it is known whose they are. */
export class RuntimeStderr extends Writable {
  readonly #sink: Writable | undefined;
  readonly #starts: readonly string[];
  #held: Buffer | undefined = Buffer.alloc(0);

  constructor(sink: Writable | undefined, command: string) {
    super();
    this.#sink = sink;
    this.#starts = [RUNTIME_START, formatError(command)];
    sink?.once('error', (error) => this.destroy(error));
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#held === undefined) {
      this.#passOn(chunk, encoding, done);
      return;
    }
    const held = Buffer.concat([this.#held, chunk]);
    const text = held.toString('latin1');
    const isHeld =
      held.length <= MOST_HELD && this.#starts.some((start) => text.startsWith(start) || start.startsWith(text));
    this.#held = isHeld ? held : undefined;
    if (isHeld) done();
    else this.#passOn(held, encoding, done);
  }

  /** What is held, on one line. */
  get held(): string {
    return this.#held?.toString().trim() ?? '';
  }

  /** Passes on what is held: it was the command's. */
  release(): void {
    if (this.#held !== undefined && this.#held.length > 0) this.#sink?.write(this.#held);
    this.#held = undefined;
  }

  #passOn(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#sink === undefined) done();
    else this.#sink.write(chunk, encoding, done);
  }
}

/** What runc writes here alone of a file that is no program, since it has become that file's process by then. */
export function formatError(command: string): string {
  return `exec ${command}: exec format error`;
}
