import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cpuTimeMs } from '../cpu-time.ts';
import { describeNeeding } from '../needs.ts';
import { parseDockerfile, parseOnbuild } from '../../frontend/parse.ts';
import { splitFile } from '../../frontend/parse-file.ts';
import { lastLineOf, lineRange } from '../../frontend/source-file.ts';
import { TsbuildErrors } from '../../solver/errors.ts';
import { dumpInstructions } from './dump.ts';
import { CORPORA, corpusPath, hasCorpora, readCorpus } from './shared.ts';

function fileOf(text: string) {
  return { name: 'Dockerfile', text };
}

function parse(text: string) {
  return parseDockerfile(fileOf(text));
}

function errorsOf(text: string) {
  try {
    parse(text);
    return [];
  } catch (error) {
    if (error instanceof TsbuildErrors) return error.errors;
    throw error;
  }
}

describeNeeding([CORPORA], 'the dockerfile-parser corpus', () => {
  const cases = hasCorpora ? readdirSync(corpusPath('dockerfile-parser/testfiles')) : [];
  const negatives = hasCorpora ? readdirSync(corpusPath('dockerfile-parser/testfiles-negative')) : [];

  test('has all its cases', () => {
    expect([cases.length, negatives.length]).toEqual([33, 4]);
  });

  test.each(cases)('%s is read as BuildKit reads it', (name) => {
    const text = readCorpus(`dockerfile-parser/testfiles/${name}/Dockerfile`);
    const file = splitFile(fileOf(text));
    expect(file.errors).toEqual([]);
    expect(dumpInstructions(file)).toBe(readCorpus(`dockerfile-parser/testfiles/${name}/result`));
  });

  test.each(negatives)('%s is refused', (name) => {
    const text = readCorpus(`dockerfile-parser/testfiles-negative/${name}/Dockerfile`);
    expect(() => parse(text)).toThrow(TsbuildErrors);
  });

  test('every instruction of testfile-line has its lines', () => {
    const { instructions } = parse(readCorpus('dockerfile-parser/testfile-line/Dockerfile'));
    expect(instructions.map(({ range }) => [range.start.line, lastLineOf(range)])).toEqual([
      [5, 5],
      [11, 12],
      [17, 31],
    ]);
  });
});

function only(text: string) {
  const [instruction] = parse(text).instructions;
  if (instruction === undefined) throw new Error('no instruction');
  return instruction;
}

describe('lines', () => {
  test('blanks may follow a continuation, and the blanks of the next line are kept', () => {
    const text = 'RUN echo to stdout && echo to stderr >&2 && \\ \t\n    exit 7\n';
    expect(only(text).original).toBe('RUN echo to stdout && echo to stderr >&2 &&     exit 7');
  });

  test('a doubled escape continues nothing', () => {
    expect(parse('ENV A=b\\\\\nRUN x\n').instructions).toHaveLength(2);
  });

  test('comments inside a continuation vanish and empty lines only warn', () => {
    const { instructions, warnings } = parse('RUN a && \\\n  # why\n\n  b\n');
    expect(instructions.map(({ original }) => original)).toEqual(['RUN a &&   b']);
    expect(warnings).toEqual([
      {
        rule: 'NoEmptyContinuation',
        description: 'Empty continuation lines will become errors in a future release',
        url: 'https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/',
        detail: 'Empty continuation line',
        range: lineRange(fileOf(''), 4, 4),
      },
    ]);
  });

  test('a byte order mark and carriage returns are not part of anything', () => {
    const { directives, escape: escapeToken, instructions } = parse('\ufeff# escape=`\r\nRUN a `\r\n b\r\n');
    expect(directives.map(({ name, value }) => [name, value])).toEqual([['escape', '`']]);
    expect(escapeToken).toBe('`');
    expect(instructions.map(({ original }) => original)).toEqual(['RUN a  b']);
  });

  test('directives end at the first line that is none', () => {
    const { directives } = parse('# Syntax = a/b:1 x\n#check=skip=all\n# hello\n# escape=`\nRUN a\n');
    expect(directives.map(({ name, value, range }) => [name, value, range.start.line])).toEqual([
      ['syntax', 'a/b:1 x', 1],
      ['check', 'skip=all', 2],
    ]);
  });

  test('comments directly above belong to an instruction, directives and detached ones do not', () => {
    const text = '# syntax=x\n# far\n\n# base the base\n#   second\nFROM a AS base\nRUN b\n';
    expect(parse(text).instructions.map(({ comments }) => comments)).toEqual([['base the base', 'second'], []]);
  });

  test('the keyword stays as written', () => {
    expect(only('  from a as b\n')).toMatchObject({ kind: 'FROM', keyword: 'from', asKeyword: 'as', name: 'b' });
  });
});

describe('heredocs', () => {
  test('COPY and ADD take bodies as files, in order', () => {
    const { instructions } = parse('ADD <<"T" <<-U /n/\nlit $V\nT\n\t\ttab $V\n\tU\nUSER app\n');
    expect(instructions).toMatchObject([
      {
        kind: 'ADD',
        sources: [],
        dest: '/n/',
        heredocs: [
          { name: 'T', expand: false, chomp: false, body: 'lit $V\n' },
          { name: 'U', expand: true, chomp: true, body: 'tab $V\n', rawBody: '\t\ttab $V\n' },
        ],
        range: lineRange(fileOf(''), 1, 5),
      },
      { kind: 'USER' },
    ]);
  });

  test('RUN keeps the line and its bodies apart, with descriptors', () => {
    const run = only('RUN cat <<A 3<<B && x <<< word a<<b\n1\nA\n2\nB\n');
    expect(run).toMatchObject({
      command: { form: 'shell', args: ['cat <<A 3<<B && x <<< word a<<b'] },
      heredocs: [
        { name: 'A', body: '1\n', fileDescriptor: 0 },
        { name: 'B', body: '2\n', fileDescriptor: 3 },
      ],
    });
  });

  test('an ONBUILD carries its bodies in its expression, and they are there when it fires', () => {
    const onbuild = only('ONBUILD COPY <<-E /x\n\thi\n\tE\n');
    if (onbuild.kind !== 'ONBUILD') throw new Error('not an ONBUILD');
    expect(onbuild.expression).toBe('COPY <<-E /x\n\thi\nE');
    const range = lineRange(fileOf(''), 7, 7);
    const fired = parseOnbuild(onbuild.expression, range, '\\');
    expect(fired).toMatchObject({ kind: 'COPY', dest: '/x', range, heredocs: [{ body: 'hi\n' }] });
  });

  test('JSON form has none', () => {
    expect(only('RUN ["cat", "<<E"]\n').heredocs).toEqual([]);
  });

  test("a body's carriage returns stay, its end may have one", () => {
    expect(only('COPY <<E /x\r\na\r\nE\r\n').heredocs).toMatchObject([{ body: 'a\r\n' }]);
  });
});

describe('typed instructions', () => {
  test.each([
    ['RUN', { command: { form: 'shell', args: [''] } }],
    ['CMD []', { command: { form: 'exec', args: [] } }],
    ['CMD ["a", ]', { command: { form: 'shell', args: ['["a", ]'] } }],
    ['ENV LEG a b  c', { pairs: [{ key: 'LEG', value: 'a b  c', isLegacy: true }] }],
    ['ARG A B= C="x y"', { args: [{ key: 'A' }, { key: 'B', value: '' }, { key: 'C', value: '"x y"' }] }],
    ['COPY --link --chmod=644 --exclude=a --exclude=b a b /c', { link: true, chmod: '644', excludes: ['a', 'b'] }],
    ['COPY --link=false a /c', { link: false }],
    ["COPY --chown='a b' -- --x /c", { chown: 'a b', sources: ['--x'] }],
    ['ADD --keep-git-dir=true --unpack=false a b', { keepGitDir: true, unpack: false, checksum: undefined }],
    ['EXPOSE 80 443/tcp 53/UDP', { ports: ['443/tcp', '53/UDP', '80'] }],
    ['VOLUME ["/v1","/v 2"]', { paths: ['/v1', '/v 2'] }],
    ['HEALTHCHECK none', { command: undefined, retries: 0 }],
    [
      'HEALTHCHECK --interval=5s --timeout=1m --start-period=1.5h --retries=3 CMD echo hi',
      { intervalNs: 5e9, timeoutNs: 60e9, startPeriodNs: 5400e9, startIntervalNs: 0, retries: 3 },
    ],
    [
      'RUN --mount=type=cache,target=/c --mount=type=ssh --network=none x',
      { mounts: ['type=cache,target=/c', 'type=ssh'] },
    ],
  ])('%s', (text, expected) => {
    expect(only(text)).toMatchObject(expected);
  });
});

describe('errors', () => {
  test('all of a file come at once, in the order of its lines, at the word where it can be found', () => {
    const errors = errorsOf('FROM a\nRNU x\nENV A\nCOPY --form=x a \\\n  b\nLABEL a=1 b\nUSER\n');
    expect(
      errors.map(({ message, range }) => [message, range?.start.line, range?.start.column, range?.end.column]),
    ).toEqual([
      ['dockerfile parse error on line 2: unknown instruction: RNU (did you mean RUN?)', 2, 1, 4],
      ['ENV must have two arguments', 3, 5, 6],
      ['dockerfile parse error on line 4: unknown flag: --form (did you mean from?)', 4, 1, 1],
      ['Syntax error - can\'t find = in "b". Must be of the form: name=value', 6, 11, 12],
      ['dockerfile parse error on line 7: USER requires exactly one argument', 7, 1, 1],
    ]);
  });

  test('all flags of an instruction are told that are wrong, each at its word', () => {
    const errors = errorsOf('FROM a\nCOPY --form=x --link=3 --link --chwon a b\n');
    expect(errors.map(({ message, range }) => [message.replace(/^.*line 2: /, ''), range?.start.column])).toEqual([
      ['unknown flag: --form (did you mean from?)', 6],
      ['expecting boolean value for flag --link, not: 3', 15],
      ['unknown flag: --chwon (did you mean chown?)', 31],
    ]);
  });

  test('a line that is too long is named and what it cuts off is not', () => {
    const errors = errorsOf(`FROM a\nCOPY <<E /x\n${'x'.repeat(65536)}\nE\n`);
    expect(errors.map(({ message, hint }) => [message, hint])).toEqual([
      ['dockerfile line greater than max allowed size of 65535', 'break line 3 up with continuations'],
    ]);
    expect(errorsOf(`RUN ${'ä'.repeat(32765)}x\n`)).toEqual([]);
    expect(errorsOf(`RUN ${'ä'.repeat(32766)}\n`)).toHaveLength(1);
  });

  test('a trigger that fires is judged at the place that fires it', () => {
    const range = lineRange(fileOf(''), 3, 3);
    expect(() => parseOnbuild('FOO x', range, '\\')).toThrow('unknown instruction: FOO');
    expect(() => parseOnbuild('COPY --x --y a b', range, '\\')).toThrow(/^unknown flag: --x$/);
    expect(() => parseOnbuild('RUN a\nRUN b', range, '\\')).toThrow('onbuild trigger should be a single expression');
    expect(() => parseOnbuild('FROM a', range, '\\')).toThrow("FROM isn't allowed as an ONBUILD trigger");
  });

  test('whatever the text, parsing ends soon with instructions or with TsbuildErrors', () => {
    const piece = fc.constantFrom(
      ...[
        'FROM a',
        'RUN',
        'COPY',
        'ADD --link',
        'ONBUILD',
        'ENV a=',
        'ARG',
        'HEALTHCHECK --interval=1',
        'LABEL "',
        '<<E',
      ],
      ...[
        '<<-"E"',
        'E',
        '\n',
        '\n',
        '\\\n',
        '`\n',
        '# escape=`\n',
        '# c',
        '["a"',
        ']',
        '{',
        '\ufeff',
        '\r\n',
        "'",
        '$',
        '\t',
        '\0',
      ],
    );
    const text = fc.oneof(
      fc.array(fc.oneof(piece, fc.string())).map((parts) => parts.join(' ')),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (input) => {
        expect(cpuTimeMs(() => errorsOf(input))).toBeLessThan(1000);
      }),
      { numRuns: 1500 },
    );
  });

  test('ten thousand wrong lines take no longer than a second of processor time', () => {
    const start = process.cpuUsage();
    expect(errorsOf('COPY --form=x a b\n'.repeat(10_000))).toHaveLength(10_000);
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(1000);
  });
});
