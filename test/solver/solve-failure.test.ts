import { beforeEach, describe, expect, it } from 'vitest';
import { TsbuildError } from '../../solver/errors.ts';
import { constant, copySum, type FakeRunner, local, sum } from './fake-runner.ts';
import { Builds } from './solve-fixture.ts';

let builds: Builds;
let runner: FakeRunner;

beforeEach(() => {
  builds = new Builds();
  runner = builds.runner;
});

describe('a step that fails', () => {
  it('stops the steps that run, and the solve rejects with its error once they have stopped', async () => {
    const [bad, other] = [runner.hold('bad'), runner.hold('other')];
    const badVertex = sum('bad', [constant(1)], { name: 'bad', range: rangeOfLine(3) });
    const result = builds.build(sum('top', [badVertex, sum('other', [constant(2)])]));
    await Promise.all([bad.begun, other.begun]);
    bad.fail(new TsbuildError('TSB_EXEC_FAILED', 'exit code: 3', { hint: 'look at the log', exitCode: 3 }));

    const error = await result.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TsbuildError);
    expect(error).toMatchObject({
      code: 'TSB_EXEC_FAILED',
      message: 'exit code: 3',
      hint: 'look at the log',
      exitCode: 3,
      vertex: badVertex.digest,
      range: rangeOfLine(3),
    });
    expect(builds.told.slice(-2)).toEqual(['failed bad', 'canceled other']);
    expect(builds.told).not.toContain('started top');
  });

  it('leaves the records of the steps before it', async () => {
    const good = sum('good', [constant(1)]);
    runner.hold('bad').fail(new TsbuildError('TSB_EXEC_FAILED', 'no'));
    await expect(builds.build(sum('bad', [good]))).rejects.toThrow('no');
    runner.hold('bad').finish();
    expect(await builds.build(sum('bad', [good]))).toBe('1');
    expect(runner.runs).toEqual(['bad']);
  });

  it('leaves the record of a step that ends after it', async () => {
    runner.stubborn.add('slow');
    const [bad, slow] = [runner.hold('bad'), runner.hold('slow')];
    const slowVertex = sum('slow', [constant(2)]);
    const failed = builds.whenTold('failed bad');
    const result = builds.build(sum('top', [sum('bad', [constant(1)]), slowVertex]));
    await Promise.all([bad.begun, slow.begun]);
    bad.fail(new TsbuildError('TSB_EXEC_FAILED', 'no'));
    await failed;
    slow.finish();
    await expect(result).rejects.toThrow('no');
    expect(builds.told.slice(-1)).toEqual(['completed slow']);
    expect(await builds.build(slowVertex)).toBe('2');
    expect(runner.runs).toEqual([]);
  });

  it('is the one that is told of, not those that stop because of it', async () => {
    const names = ['a', 'b', 'c'];
    const held = names.map((name) => runner.hold(name));
    const result = builds.build(
      sum(
        'top',
        names.map((name) => sum(name, [constant(1)])),
      ),
    );
    await Promise.all(held.map(({ begun }) => begun));
    held[1]?.fail(new Error('defect in b'));
    await expect(result).rejects.toThrow('defect in b');
    expect(builds.told.filter((line) => /failed|canceled/.test(line))).toEqual([
      'failed b',
      'canceled a',
      'canceled c',
    ]);
  });

  it('fails the step whose key cannot be computed', async () => {
    const copy = copySum('copy', local('context'));
    runner.contentErrors.set('local context', new TsbuildError('TSB_COPY_NOT_FOUND', '"/nosuch": not found'));
    const error = await builds.build(copy).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'TSB_COPY_NOT_FOUND', vertex: copy.digest });
    expect(builds.told).toEqual(['started local context', 'completed local context', 'started copy', 'failed copy']);
    expect(builds.events.at(-1)).toMatchObject({ type: 'failed', message: '"/nosuch": not found' });
  });

  it('may fail before anything has run', async () => {
    runner.cacheMapErrors.set('const 1', new TsbuildError('TSB_REGISTRY_NOT_FOUND', 'no such image'));
    await expect(builds.build(sum('top', [constant(1)]))).rejects.toThrow('no such image');
    expect(builds.told).toEqual(['started const 1', 'failed const 1']);
  });

  it('gives the hint of the step before that of the error', async () => {
    const hintOf = ({ code }: TsbuildError) => (code === 'TSB_A' ? 'of the step' : undefined);
    const bad = sum('bad', [], { hintOf });
    runner.hold('bad').fail(new TsbuildError('TSB_A', 'a', { hint: 'of the error' }));
    await expect(builds.build(bad)).rejects.toMatchObject({ code: 'TSB_A', hint: 'of the step' });
    runner.hold('bad').fail(new TsbuildError('TSB_B', 'b', { hint: 'of the error' }));
    await expect(builds.build(bad)).rejects.toMatchObject({ code: 'TSB_B', hint: 'of the error' });
  });

  it('keeps the vertex an error names already', async () => {
    runner.hold('bad').fail(new TsbuildError('TSB_EXEC_FAILED', 'no', { vertex: 'sha256:inner' }));
    await expect(builds.build(sum('bad', []))).rejects.toMatchObject({ vertex: 'sha256:inner' });
  });
});

describe('an interruption', () => {
  it('stops the steps that run and rejects with the reason of the signal', async () => {
    const controller = new AbortController();
    const held = runner.hold('slow');
    const result = builds.build(sum('top', [sum('slow', [constant(1)])]), controller.signal);
    await held.begun;
    controller.abort(new TsbuildError('TSB_INTERRUPTED', 'interrupted', { exitCode: 130 }));
    await expect(result).rejects.toMatchObject({ code: 'TSB_INTERRUPTED', exitCode: 130 });
    expect(builds.told.slice(-1)).toEqual(['canceled slow']);
    expect(builds.told.filter((line) => line.startsWith('failed'))).toEqual([]);
  });

  it('before the first step starts nothing', async () => {
    await expect(builds.build(constant(1), AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
    expect(builds.told).toEqual([]);
    expect(runner.cacheMaps).toEqual([]);
  });
});

function rangeOfLine(line: number) {
  return { file: 'Dockerfile', start: { line, column: 1 }, end: { line, column: 9 } };
}
