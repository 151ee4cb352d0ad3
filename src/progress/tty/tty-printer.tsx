// The terminal view: finished steps scroll away above, running ones stay below with their time, last lines and transfers.
// Loaded only on a terminal, since ink and react are the heaviest modules tsbuild has.
import { render } from 'ink';
import type { Digest } from '../../../solver/digest.ts';
import type { SolveEvent } from '../../../solver/progress.ts';
import { plainText } from '../clean-text.ts';
import type { ProgressPrinter } from '../printer.ts';
import { createStepTable, type Step } from '../step-table.ts';
import { BuildView, type FinishedLine } from './BuildView.tsx';

/** Lines of a running step's output that stay in view. */
const TAIL_LINES = 6;
/** Characters kept of a line that does not end; more than a terminal is wide. */
const LINE_LENGTH = 2000;
const REDRAW_MS = 100;
/** Of a terminal that does not tell. */
const DEFAULT_ROWS = 24;

interface TtyPrinterOptions {
  readonly stream: NodeJS.WriteStream;
}

/** A printer that redraws the terminal a few times a second and leaves it as it found it. */
export function createTtyPrinter({ stream }: TtyPrinterOptions): ProgressPrinter {
  const table = createStepTable();
  const tails = new Map<Digest, string[]>();
  const finished: FinishedLine[] = [];
  let isDirty = true;

  const view = () => (
    <BuildView
      finished={[...finished]}
      running={runningSteps()}
      tails={tails}
      nowMs={Date.now()}
      rows={stream.rows || DEFAULT_ROWS}
    />
  );
  const runningSteps = (): Step[] => [...table.steps.values()].filter((step) => step.state === 'running');
  // Without `interactive` ink draws nothing until the end where CI is set.
  const app = render(view(), { stdout: stream, interactive: stream.isTTY, exitOnCtrlC: false, patchConsole: false });
  const redraw = (): void => {
    if (isDirty || runningSteps().length > 0) app.rerender(view());
    isDirty = false;
  };
  const timer = setInterval(redraw, REDRAW_MS);
  let isClosed = false;

  return {
    showsAll: false,
    print(event) {
      const step = table.apply(event);
      if (!step) return;
      isDirty = true;
      if (event.type === 'log') addToTail(tails, event);
      if (event.type === 'warning') finished.push({ key: finished.length, text: event.message });
      if (step.state !== 'running' && step.endedMs === event.timeMs) {
        finished.push({ key: finished.length, step: { ...step } });
        tails.delete(step.vertex);
      }
    },
    say(text) {
      if (isClosed) stream.write(text);
      else for (const line of text.split('\n')) if (line !== '') finished.push({ key: finished.length, text: line });
      isDirty = true;
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      clearInterval(timer);
      app.rerender(view());
      app.unmount();
    },
  };
}

function addToTail(tails: Map<Digest, string[]>, event: SolveEvent & { type: 'log' }): void {
  const tail = tails.get(event.vertex) ?? [];
  const parts = ((tail.pop() ?? '') + Buffer.from(event.bytes).toString('utf8')).split('\n').slice(-TAIL_LINES - 1);
  tails.set(event.vertex, [...tail, ...parts.map(lastState)].slice(-TAIL_LINES - 1));
}

/** What a terminal would show of a line with carriage returns, without control sequences that would break the view. */
function lastState(line: string): string {
  const shown = line.replace(/\r+$/, '');
  return plainText(shown.slice(shown.lastIndexOf('\r') + 1).slice(-LINE_LENGTH));
}
