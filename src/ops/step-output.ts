// A step's output: every byte to its log file, and as events to who watches.
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { Writable } from 'node:stream';
import type { Digest } from '../../solver/digest.ts';
import type { EmitEvent } from '../../solver/progress.ts';
import { codeOf } from '../sys/error-code.ts';
import { writeAllSync } from '../sys/write-all.ts';

interface StepOutputOptions {
  readonly vertex: Digest;
  readonly logPath: string;
  readonly emit: EmitEvent;
  /** Undefined, or resolves when who watches can take more: then the step waits as it would for a slow terminal. */
  readonly room: () => Promise<void> | undefined;
  /** UTC, ms since the epoch. */
  readonly now: () => number;
}

/** Two sinks and the file behind both, in the order in which the bytes came. The caller closes it. */
export class StepOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly #fd: number;
  readonly #options: StepOutputOptions;

  constructor(options: StepOutputOptions) {
    this.#options = options;
    mkdirSync(dirname(options.logPath), { recursive: true });
    this.#fd = openSync(options.logPath, 'w', 0o600);
    this.stdout = this.#sink('stdout');
    this.stderr = this.#sink('stderr');
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** On a full disk the rest of the file is lost, not the step: who watches still gets it. */
  #save(chunk: Buffer): void {
    try {
      writeAllSync(this.#fd, chunk);
    } catch (error) {
      const code = codeOf(error);
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    }
  }

  #sink(stream: 'stdout' | 'stderr'): Writable {
    const { vertex, emit, now, room } = this.#options;
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        try {
          this.#save(chunk);
          emit({ type: 'log', stream, bytes: chunk, vertex, timeMs: now() });
          const waiting = room();
          if (waiting === undefined) done();
          else waiting.then(() => done(), done);
        } catch (error) {
          done(error instanceof Error ? error : new Error(String(error)));
        }
      },
    });
  }
}
