// BuildKit's plain progress: `#5 [build 2/4] RUN …`, `#5 0.123 output`, `#5 CACHED`, `#5 DONE 0.4s`.
// One step has the floor at a time; lines of the others wait until it ends or has been silent for a while, and what has
// ended is told at once. Nothing is ever dropped.
import { StringDecoder } from 'node:string_decoder';
import type { Digest } from '../../solver/digest.ts';
import type { SolveEvent } from '../../solver/progress.ts';
import { nowMs } from '../sys/clock.ts';
import { colouredText, visibleLines, visibleText } from './clean-text.ts';
import type { ProgressPrinter, WriteText } from './printer.ts';
import { createStepTable, formatSeconds, formatTransfer, type Step } from './step-table.ts';

/** After this long without a line from the step that has the floor, another may take it. */
const SILENCE_MS = 1000;
/** Characters of a line that are kept until it ends: a longer one is shown as several. */
const MAX_LINE_LENGTH = 1 << 16;

interface Held {
  readonly step: Step;
  readonly lines: string[];
  /** Bytes of each stream after its last newline, with the time of their first byte. */
  readonly partial: Map<string, { text: string; timeMs: number }>;
  readonly decoders: Map<string, StringDecoder>;
  lastLineMs: number;
  headerShown: boolean;
  finished: boolean;
}

/** Timers are injected so that tests need not wait. */
interface PlainPrinterOptions {
  readonly write: WriteText;
  /** A terminal gets only colours of what a step writes, a file or a pipe all of it. Default false. */
  readonly isTerminal?: boolean;
  readonly setTimer?: (callback: () => void, ms: number) => { unref?(): void };
}

/** A printer of BuildKit's plain format. */
export function createPlainPrinter({
  write,
  isTerminal = false,
  setTimer = setTimeout,
}: PlainPrinterOptions): ProgressPrinter {
  const table = createStepTable();
  const held = new Map<Digest, Held>();
  let floor: Held | undefined;
  let timerSet = false;

  const show = (entry: Held): void => {
    if (entry.lines.length === 0 && entry.headerShown && !entry.finished) return;
    takeFloor(entry);
    for (const line of entry.lines) {
      write(`#${entry.step.number} ${isTerminal ? line.split('\n').map(colouredText).join('\n') : line}\n`);
    }
    entry.lines.length = 0;
    if (entry.finished) {
      write('\n');
      held.delete(entry.step.vertex);
      floor = undefined;
    }
  };

  const takeFloor = (entry: Held): void => {
    if (floor === entry) return;
    if (floor) write(`#${floor.step.number} ...\n\n`);
    write(`#${entry.step.number} ${visibleText(entry.step.name)}\n`);
    entry.headerShown = true;
    floor = entry;
  };

  const onSilence = (): void => {
    timerSet = false;
    const waiting = [...held.values()].find((entry) => entry !== floor && entry.lines.length > 0);
    if (!waiting) return;
    if (floor && nowMs() - floor.lastLineMs < SILENCE_MS) return watchSilence();
    show(waiting);
  };

  const watchSilence = (): void => {
    if (timerSet) return;
    timerSet = true;
    setTimer(onSilence, SILENCE_MS).unref?.();
  };

  return {
    showsAll: true,
    print(event) {
      const step = table.apply(event);
      if (!step) return;
      const entry = held.get(step.vertex) ?? hold(held, step);
      addLines(entry, event);
      if (entry.finished || !floor || floor === entry) show(entry);
      else if (entry.lines.length > 0) watchSilence();
    },
    say(text) {
      write(visibleLines(text));
    },
    close() {
      for (const entry of held.values()) {
        flushPartial(entry);
        if (entry.lines.length > 0) show(entry);
      }
    },
  };
}

function hold(held: Map<Digest, Held>, step: Step): Held {
  const entry: Held = {
    step,
    lines: [],
    partial: new Map(),
    decoders: new Map(),
    lastLineMs: step.startedMs,
    headerShown: false,
    finished: false,
  };
  held.set(step.vertex, entry);
  return entry;
}

function addLines(entry: Held, event: SolveEvent): void {
  const { step, lines } = entry;
  const end = (line: string): void => {
    flushPartial(entry);
    lines.push(line);
    entry.finished = true;
  };
  switch (event.type) {
    case 'started':
      return;
    case 'cached':
      return end('CACHED');
    case 'completed':
      return end(`DONE ${formatSeconds(event.timeMs - step.startedMs)}`);
    case 'failed':
      return end(`ERROR: ${visibleLines(event.message)}`);
    case 'canceled':
      return end('CANCELED');
    case 'log':
      return addLog(entry, event.stream, event.bytes, event.timeMs);
    case 'progress': {
      const transfer = step.transfers.get(event.id);
      if (transfer?.done) lines.push(visibleText(formatTransfer(transfer)));
      return;
    }
    case 'reason':
      lines.push(`why: ${visibleText(event.message)}`);
      return;
    case 'warning':
      lines.push(`WARN: ${visibleLines(event.message)}`);
      // What is found later about a step that has ended is told under its name once more.
      if (step.state !== 'running') entry.finished = true;
  }
}

function addLog(entry: Held, stream: string, bytes: Uint8Array, timeMs: number): void {
  const decoder = entry.decoders.get(stream) ?? new StringDecoder('utf8');
  entry.decoders.set(stream, decoder);
  const before = entry.partial.get(stream);
  const text = decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const [first = '', ...more] = text.split('\n');
  const parts = [(before?.text ?? '') + first, ...more];
  const open = parts.length === 1 ? before : undefined;
  const rest = parts.pop() ?? '';
  parts.forEach((part, index) => {
    addLogLine(entry, part, index === 0 && before ? before.timeMs : timeMs);
  });
  const restMs = open?.timeMs ?? timeMs;
  const isLong = rest.length > MAX_LINE_LENGTH;
  if (isLong) addLogLine(entry, rest, restMs);
  if (rest === '' || isLong) entry.partial.delete(stream);
  else entry.partial.set(stream, { text: rest, timeMs: restMs });
  entry.lastLineMs = timeMs;
}

function addLogLine(entry: Held, text: string, timeMs: number): void {
  const seconds = (Math.max(0, timeMs - entry.step.startedMs) / 1000).toFixed(3);
  const line = text.endsWith('\r') ? text.slice(0, -1) : text;
  entry.lines.push(line === '' ? seconds : `${seconds} ${line.slice(line.lastIndexOf('\r') + 1)}`);
}

function flushPartial(entry: Held): void {
  for (const [, { text, timeMs }] of entry.partial) addLogLine(entry, text, timeMs);
  entry.partial.clear();
}
