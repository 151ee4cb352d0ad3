// The picture of a build: finished lines above, running steps below.
import { Box, Static, Text } from 'ink';
import type { ReactNode } from 'react';
import type { Digest } from '../../../solver/digest.ts';
import { formatSeconds, formatTransfer, type Step, type StepState } from '../step-table.ts';

export interface FinishedLine {
  readonly key: number;
  readonly step: Step;
  readonly warning?: string;
}

export interface BuildViewProps {
  readonly finished: FinishedLine[];
  readonly running: readonly Step[];
  readonly tails: ReadonlyMap<Digest, readonly string[]>;
  readonly nowMs: number;
}

const MARKS: Readonly<Record<StepState, { mark: string; color: string }>> = {
  running: { mark: '•', color: 'cyan' },
  cached: { mark: '=', color: 'blue' },
  done: { mark: '✓', color: 'green' },
  failed: { mark: '✗', color: 'red' },
  canceled: { mark: '-', color: 'yellow' },
};

/** One screen of progress. */
export function BuildView({ finished, running, tails, nowMs }: BuildViewProps): ReactNode {
  return (
    <Box flexDirection="column">
      <Static items={finished}>{(line) => <FinishedStep key={line.key} line={line} />}</Static>
      {running.map((step) => (
        <RunningStep key={step.vertex} step={step} tail={tails.get(step.vertex) ?? []} nowMs={nowMs} />
      ))}
    </Box>
  );
}

function FinishedStep({ line: { step, warning } }: { readonly line: FinishedLine }): ReactNode {
  if (warning !== undefined) return <Text color="yellow">! {warning}</Text>;
  const { mark, color } = MARKS[step.state];
  const time = step.state === 'cached' ? 'CACHED' : formatSeconds((step.endedMs ?? step.startedMs) - step.startedMs);
  return (
    <Text wrap="truncate-end">
      <Text color={color}>{mark}</Text> {step.name} <Text dimColor>{time}</Text>
      {step.message === undefined ? '' : <Text color="red"> {step.message}</Text>}
      {step.reason === undefined ? '' : <Text dimColor>{`\n    why: ${step.reason}`}</Text>}
    </Text>
  );
}

function RunningStep(props: {
  readonly step: Step;
  readonly tail: readonly string[];
  readonly nowMs: number;
}): ReactNode {
  const { step, tail, nowMs } = props;
  const open = [...step.transfers.values()].filter((transfer) => !transfer.done);
  return (
    <Box flexDirection="column">
      <Text wrap="truncate-end">
        <Text color="cyan">{MARKS.running.mark}</Text> {step.name}{' '}
        <Text dimColor>{formatSeconds(nowMs - step.startedMs)}</Text>
      </Text>
      {step.reason === undefined ? null : (
        <Text dimColor wrap="truncate-end">
          {'    why: '}
          {step.reason}
        </Text>
      )}
      {open.map((transfer) => (
        <Text key={transfer.id} dimColor wrap="truncate-end">
          {'    '}
          {formatTransfer(transfer)}
        </Text>
      ))}
      {tail
        .filter((line) => line !== '')
        .map((line, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a tail has no identity beyond its place
          <Text key={index} dimColor wrap="truncate-end">
            {'  │ '}
            {line}
          </Text>
        ))}
    </Box>
  );
}
