import { describe, expect, it } from 'vitest';
import { atOnce, inTurns, type Slices } from '../../src/sys/turns.ts';

function* count(to: number, state: { at: number; isClosed: boolean }): Slices<number> {
  try {
    for (; state.at < to; state.at += 1) yield;
    return state.at;
  } finally {
    state.isClosed = true;
  }
}

describe('work in slices', () => {
  it('is done to its end', async () => {
    const state = { at: 0, isClosed: false };
    expect(await inTurns(count(1000, state), new AbortController().signal)).toBe(1000);
    expect(atOnce(count(1000, { at: 0, isClosed: false }))).toBe(1000);
  });

  it('lets a timer abort it, and closes what it holds', async () => {
    const state = { at: 0, isClosed: false };
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('stop')), 10);
    await expect(inTurns(count(Number.POSITIVE_INFINITY, state), controller.signal)).rejects.toThrow('stop');
    expect(state.isClosed).toBe(true);
  });

  it('passes on what it throws', async () => {
    function* fail(): Slices<void> {
      yield;
      throw new Error('broken');
    }
    await expect(inTurns(fail(), new AbortController().signal)).rejects.toThrow('broken');
  });
});
