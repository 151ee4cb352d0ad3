import { describe, expect, it } from 'vitest';
import { TsbuildError, TsbuildErrors } from '../../solver/errors.ts';
import { exitCodeOf, renderError } from '../../src/cli/report-error.ts';

const range = { file: 'Dockerfile', start: { line: 3, column: 1 }, end: { line: 4, column: 1 } };
const options = {
  excerptOf: (error: TsbuildError) => (error.range ? 'Dockerfile:3\n---\n   3 | >>> RUN exit 7\n---\n' : undefined),
  outputOf: (error: TsbuildError) =>
    error.vertex ? { name: '[3/4] RUN exit 7', lines: ['0.050 to stderr'], omitted: undefined } : undefined,
  showStack: false,
};

describe('the error report', () => {
  it('shows output, excerpt, place, message, hint and causes', () => {
    const error = new TsbuildError('TSB_RUN_FAILED', 'the process failed', {
      range,
      vertex: 'v',
      hint: 'look inside with: tsbuild debug',
      cause: new Error('outer', { cause: new Error('inner') }),
    });
    expect(renderError(error, options)).toBe(
      [
        '------',
        ' > [3/4] RUN exit 7:',
        '0.050 to stderr',
        '------',
        'Dockerfile:3',
        '---',
        '   3 | >>> RUN exit 7',
        '---',
        'Dockerfile:3:1: error: the process failed',
        'hint: look inside with: tsbuild debug',
        'cause: outer',
        'cause: inner',
        '',
      ].join('\n'),
    );
  });

  it('shows every error of a pass', () => {
    const both = new TsbuildErrors([new TsbuildError('A', 'first'), new TsbuildError('B', 'second', { exitCode: 2 })]);
    expect(renderError(both, options)).toBe('error: first\n\nerror: second\n');
    expect(exitCodeOf(both)).toBe(2);
  });

  it('shows ten errors at most, and the same lines of a source once', () => {
    const at = (line: number): TsbuildError =>
      new TsbuildError('A', `wrong ${line}`, { range: { ...range, start: { line, column: 1 } } });
    const same = { ...options, excerptOf: (error: TsbuildError) => `excerpt of ${error.range?.start.line}\n` };
    expect(renderError(new TsbuildErrors([at(3), at(3), at(4)]), same)).toBe(
      'excerpt of 3\nDockerfile:3:1: error: wrong 3\n\nDockerfile:3:1: error: wrong 3\n\nexcerpt of 4\nDockerfile:4:1: error: wrong 4\n',
    );
    const text = renderError(new TsbuildErrors(Array.from({ length: 12 }, (_, line) => at(line))), options);
    expect(text.match(/error: wrong/g)).toHaveLength(10);
    expect(text.endsWith('error: wrong 9\n\nand 2 more errors\n')).toBe(true);
  });

  it('calls anything else a defect, with its stack', () => {
    const text = renderError(new Error('internal error: x'), options);
    expect(text).toMatch(
      /^error: this is a defect of tsbuild, please report it with the lines below\nError: internal error: x\n {4}at /,
    );
    expect(exitCodeOf(new Error('x'))).toBe(1);
  });

  it('writes control characters out', () => {
    const error = new TsbuildError('A', '"a\x1b]0;title\x07b\x9b2J": not found', {
      hint: 'see \x1b[2J\u202e',
      cause: new Error('500 \x1b[1A'),
    });
    expect(renderError(error, options)).toBe(
      'error: "a\\x1b]0;title\\x07b\\x9b2J": not found\nhint: see \\x1b[2J\\u202e\ncause: 500 \\x1b[1A\n',
    );
  });
});
