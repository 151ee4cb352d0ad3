// The picture of a build: finished lines above, running steps below.
import { Box, Static, Text } from 'ink';
import type { ReactNode } from 'react';
import type { Digest } from '../../../solver/digest.ts';
import { plainText } from '../clean-text.ts';
import { formatSeconds, formatTransfer, type Step, type StepState } from '../step-table.ts';

/** A step that has ended, or a line that belongs to none. */
export type FinishedLine = { readonly key: number } & ({ readonly step: Step } | { readonly text: string });

interface BuildViewProps {
  readonly finished: FinishedLine[];
  readonly running: readonly Step[];
  readonly tails: ReadonlyMap<Digest, readonly string[]>;
  readonly nowMs: number;
  /** Lines of the terminal; the view takes fewer, so that it never scrolls away from under its own cursor. */
  readonly rows: number;
}

const MARKS: Readonly<Record<StepState, { mark: string; color: string }>> = {
  running: { mark: '•', color: 'cyan' },
  cached: { mark: '=', color: 'blue' },
  done: { mark: '✓', color: 'green' },
  failed: { mark: '✗', color: 'red' },
  canceled: { mark: '-', color: 'yellow' },
};

/** One screen of progress. */
export function BuildView({ finished, running, tails, nowMs, rows }: BuildViewProps): ReactNode {
  // One line for the cursor, and one for what does not fit.
  const places = Math.max(1, rows - 2);
  const shown = running.slice(0, places);
  // What each step may show below its own line.
  const details = Math.floor((places - shown.length) / Math.max(1, shown.length));
  return (
    <Box flexDirection="column">
      <Static items={finished}>{(line) => <FinishedStep key={line.key} line={line} />}</Static>
      {shown.map((step) => (
        <RunningStep
          key={step.vertex}
          step={step}
          tail={tails.get(step.vertex) ?? []}
          nowMs={nowMs}
          details={details}
        />
      ))}
      {running.length > shown.length && <Text dimColor>{`  and ${running.length - shown.length} more`}</Text>}
    </Box>
  );
}

function FinishedStep({ line }: { readonly line: FinishedLine }): ReactNode {
  if ('text' in line) return <Text color="yellow">! {plainText(line.text)}</Text>;
  const { step } = line;
  const { mark, color } = MARKS[step.state];
  const time = step.state === 'cached' ? 'CACHED' : formatSeconds((step.endedMs ?? step.startedMs) - step.startedMs);
  return (
    <Text wrap="truncate-end">
      <Text color={color}>{mark}</Text> {plainText(step.name)} <Text dimColor>{time}</Text>
      {step.message === undefined ? '' : <Text color="red"> {plainText(step.message)}</Text>}
      {step.reason === undefined ? '' : <Text dimColor>{`\n    why: ${plainText(step.reason)}`}</Text>}
    </Text>
  );
}

function RunningStep(props: {
  readonly step: Step;
  readonly tail: readonly string[];
  readonly nowMs: number;
  readonly details: number;
}): ReactNode {
  const { step, tail, nowMs } = props;
  const reason = props.details > 0 ? step.reason : undefined;
  const details = reason === undefined ? props.details : props.details - 1;
  const open = [...step.transfers.values()].filter((transfer) => !transfer.done).slice(0, details);
  const lines = tail.filter((line) => line !== '');
  const shown = lines.slice(lines.length - Math.min(lines.length, details - open.length));
  return (
    <Box flexDirection="column">
      <Text wrap="truncate-end">
        <Text color="cyan">{MARKS.running.mark}</Text> {plainText(step.name)}{' '}
        <Text dimColor>{formatSeconds(nowMs - step.startedMs)}</Text>
      </Text>
      {reason === undefined ? null : (
        <Text dimColor wrap="truncate-end">
          {'    why: '}
          {plainText(reason)}
        </Text>
      )}
      {open.map((transfer) => (
        <Text key={transfer.id} dimColor wrap="truncate-end">
          {'    '}
          {plainText(formatTransfer(transfer))}
        </Text>
      ))}
      {shown.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a tail has no identity beyond its place
        <Text key={index} dimColor wrap="truncate-end">
          {'  │ '}
          {line}
        </Text>
      ))}
    </Box>
  );
}
