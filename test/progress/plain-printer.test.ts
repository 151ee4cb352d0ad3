import { describe, expect, it } from 'vitest';
import { digestOf } from '../../solver/digest.ts';
import type { SolveEvent } from '../../solver/progress.ts';
import { createPlainPrinter } from '../../src/progress/plain-printer.ts';

type EventOf<T> = T extends unknown ? Omit<T, 'vertex' | 'timeMs'> : never;

function rig() {
  let text = '';
  const timers: (() => void)[] = [];
  const printer = createPlainPrinter({
    write: (chunk) => {
      text += chunk;
    },
    setTimer: (callback) => {
      timers.push(callback);
      return {};
    },
  });
  return {
    at: (seconds: number, vertex: string, event: EventOf<SolveEvent>) =>
      printer.print({ ...event, vertex: digestOf(vertex), timeMs: seconds * 1000 } as SolveEvent),
    passSilence: () => {
      for (const callback of timers.splice(0)) callback();
    },
    close: () => printer.close(),
    text: () => text,
  };
}

const log = (text: string): EventOf<SolveEvent> => ({ type: 'log', stream: 'stdout', bytes: Buffer.from(text) });

describe('plain progress', () => {
  it('prints a step as BuildKit does', () => {
    const { at, text } = rig();
    at(0, 'a', { type: 'started', name: '[2/4] RUN echo hi' });
    at(0.0456, 'a', log('hi\n'));
    at(0.1, 'a', { type: 'completed' });
    expect(text()).toBe('#1 [2/4] RUN echo hi\n#1 0.046 hi\n#1 DONE 0.1s\n\n');
  });

  it('prints a cached step in two lines', () => {
    const { at, text } = rig();
    at(0, 'a', { type: 'cached', name: '[2/4] RUN echo hi' });
    expect(text()).toBe('#1 [2/4] RUN echo hi\n#1 CACHED\n\n');
  });

  it('gives the floor to one step at a time and tells at once what has ended', () => {
    const { at, text } = rig();
    at(0, 'a', { type: 'started', name: 'A' });
    at(0.065, 'a', log('line 1\n'));
    at(0, 'b', { type: 'started', name: 'B' });
    at(0.061, 'b', log('out\nno newline'));
    at(0.1, 'b', { type: 'completed' });
    at(0.4, 'a', log('line 2\n'));
    at(1, 'a', { type: 'completed' });
    expect(text()).toBe(
      '#1 A\n#1 0.065 line 1\n#1 ...\n\n#2 B\n#2 0.061 out\n#2 0.061 no newline\n#2 DONE 0.1s\n\n#1 A\n#1 0.400 line 2\n#1 DONE 1.0s\n\n',
    );
  });

  it('lets a waiting step speak when the one with the floor is silent', () => {
    const { at, passSilence, text } = rig();
    at(0, 'a', { type: 'started', name: 'A' });
    at(0, 'b', { type: 'started', name: 'B' });
    at(0.2, 'b', log('from b\n'));
    expect(text()).toBe('#1 A\n');
    passSilence();
    expect(text()).toBe('#1 A\n#1 ...\n\n#2 B\n#2 0.200 from b\n');
  });

  it('joins a character that arrives in two pieces', () => {
    const { at, text } = rig();
    const bytes = Buffer.from('ü\n');
    at(0, 'a', { type: 'started', name: 'A' });
    at(1, 'a', { type: 'log', stream: 'stdout', bytes: bytes.subarray(0, 1) });
    at(1, 'a', { type: 'log', stream: 'stdout', bytes: bytes.subarray(1) });
    expect(text()).toBe('#1 A\n#1 1.000 ü\n');
  });

  it('prints failures, cancellations, transfers and warnings', () => {
    const { at, text } = rig();
    at(0, 'a', { type: 'started', name: 'A' });
    at(0, 'a', { type: 'progress', id: 'transferring context', current: 38, unit: 'bytes', done: true });
    at(0, 'a', { type: 'progress', id: 'sha256:abc', current: 1_050_000, total: 3_200_000, unit: 'bytes', done: true });
    at(0, 'a', { type: 'warning', message: 'StageNameCasing: x (line 1)' });
    at(0, 'a', { type: 'failed', message: 'it broke' });
    at(0, 'b', { type: 'started', name: 'B' });
    at(0, 'b', { type: 'canceled' });
    expect(text()).toBe(
      '#1 A\n#1 transferring context: 38B done\n#1 sha256:abc 1.05MB / 3.2MB done\n#1 WARN: StageNameCasing: x (line 1)\n#1 ERROR: it broke\n\n#2 B\n#2 CANCELED\n\n',
    );
  });

  it('writes what it still holds when it closes', () => {
    const { at, close, text } = rig();
    at(0, 'a', { type: 'started', name: 'A' });
    at(0.5, 'a', log('half a line'));
    close();
    close();
    expect(text()).toBe('#1 A\n#1 0.500 half a line\n');
  });

  it('shows a line without an end in pieces, and keeps little of it', () => {
    const { at, text, close } = rig();
    at(0, 'a', { type: 'started', name: 'A' });
    for (let piece = 0; piece < 64; piece++) at(1, 'a', log('x'.repeat(4096)));
    expect(text().length).toBeGreaterThan(150_000);
    at(2, 'a', log('\nshort\n'));
    close();
    expect(text().replace(/\n#1 1\.000 /g, '')).toBe(`#1 A${'x'.repeat(64 * 4096)}\n#1 2.000 short\n`);
  });

  it('writes control characters of names and messages out', () => {
    const { at, text } = rig();
    at(0, 'a', { type: 'started', name: 'COPY a\x1b]0;title\x07b /' });
    at(0, 'a', { type: 'reason', message: 'x\n#7 ERROR: forged changed; \u202etxt.exe changed' });
    at(0, 'a', { type: 'failed', message: 'no\x9b2J such\nfile' });
    expect(text()).toBe(
      '#1 COPY a\\x1b]0;title\\x07b /\n#1 why: x\\n#7 ERROR: forged changed; \\u202etxt.exe changed\n#1 ERROR: no\\x9b2J such\nfile\n\n',
    );
  });

  it('passes on what a step writes as it is, on a terminal its colours only', () => {
    const lines = 'a\x1b]0;title\x07 \x1b[2J\x1b[31mred\n';
    const shown = [false, true].map((isTerminal) => {
      const chunks: string[] = [];
      const printer = createPlainPrinter({ write: (chunk) => chunks.push(chunk), isTerminal });
      const vertex = digestOf('a');
      printer.print({ type: 'started', vertex, timeMs: 0, name: 'A' });
      printer.print({ ...log(lines), vertex, timeMs: 0 } as SolveEvent);
      return chunks.join('');
    });
    expect(shown).toEqual([`#1 A\n#1 0.000 ${lines}`, '#1 A\n#1 0.000 a \x1b[31mred\x1b[0m\n']);
  });
});
