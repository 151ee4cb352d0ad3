import { afterEach, describe, expect, it } from 'vitest';
import { listenForSignals, type RunSignals } from '../../src/cli/run-signals.ts';
import { exitCodeOf } from '../../src/cli/report-error.ts';

describe('signals to tsbuild run', () => {
  const said: string[] = [];
  const listening: RunSignals[] = [];
  let isHungUp = false;
  const listen = (hasTerminal = false): RunSignals => {
    const signals = listenForSignals({ hasTerminal, isHungUp: () => isHungUp, say: (text) => said.push(text) });
    listening.push(signals);
    return signals;
  };
  const arrive = (signal: NodeJS.Signals) => process.emit(signal, signal);
  afterEach(() => {
    for (const signals of listening.splice(0)) signals[Symbol.dispose]();
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.removeAllListeners(name);
    said.splice(0);
    isHungUp = false;
  });

  it.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('end it where there is no process yet: %s', (name, code) => {
    const { signal } = listen();
    arrive('SIGUSR1');
    expect(signal.aborted).toBe(false);
    arrive(name);
    expect(exitCodeOf(signal.reason)).toBe(code);
  });

  it('wait for a process that is about to be there, in their order', async () => {
    const { signal, onStarted } = listen();
    const got: string[] = [];
    let isThere = false;
    onStarted((name) => {
      if (isThere) got.push(name);
      return isThere;
    });
    arrive('SIGHUP');
    arrive('SIGTERM');
    expect(got).toEqual([]);
    isThere = true;
    arrive('SIGUSR1');
    await expect.poll(() => got).toEqual(['SIGHUP', 'SIGTERM', 'SIGUSR1']);
    expect(signal.aborted).toBe(false);
  });

  it('end by force what was asked to end three times', () => {
    const { signal, onStarted } = listen();
    onStarted(() => true);
    for (const name of ['SIGINT', 'SIGUSR1', 'SIGTERM'] as const) arrive(name);
    expect(signal.aborted).toBe(false);
    arrive('SIGINT');
    expect(exitCodeOf(signal.reason)).toBe(137);
    expect(said).toEqual(['3 times SIGINT or SIGTERM: the process is ended by force\n']);
  });

  it('end it when the terminal is gone and the process goes on', async () => {
    const { signal, onStarted } = listen(true);
    const got: string[] = [];
    onStarted((name) => got.push(name) > 0);
    arrive('SIGHUP');
    isHungUp = true;
    arrive('SIGHUP');
    expect({ got, isAborted: signal.aborted }).toEqual({ got: ['SIGHUP', 'SIGHUP'], isAborted: false });
    await expect.poll(() => signal.aborted, { timeout: 30_000 }).toBe(true);
    expect(exitCodeOf(signal.reason)).toBe(129);
  });

  it('tell the process of a terminal that is gone, also when no signal does', async () => {
    const { signal, onStarted } = listen(true);
    const got: string[] = [];
    onStarted((name) => got.push(name) > 0);
    isHungUp = true;
    await expect.poll(() => signal.aborted, { timeout: 30_000 }).toBe(true);
    expect(got).toEqual(['SIGHUP']);
  });

  it('leave the size of a window to the kernel where the process has a terminal', () => {
    const before = process.listenerCount('SIGWINCH');
    listen(true);
    expect(process.listenerCount('SIGWINCH')).toBe(before);
    listen();
    expect(process.listenerCount('SIGWINCH')).toBe(before + 1);
  });
});
