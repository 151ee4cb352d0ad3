// The terminal view on a real terminal: what is in it, and how it leaves the terminal behind.
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();

describeRoot('the terminal view', { needs: ['tmux', 'stty'] }, (caller) => {
  afterEach(() => spawnSync('tmux', ['-S', socket(), 'kill-server']));

  let terminals = 0;
  const socket = (): string => join(caller.home, `tmux-${terminals}`);
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-S', socket(), '-f', '/dev/null', ...args], { encoding: 'utf8' });

  /** Starts the build in a terminal of that size; when it has ended, its exit code and the terminal's settings are shown. */
  const start = (dockerfile: string, { columns = 80, rows = 24, flags = '', ci = 'false' } = {}): void => {
    terminals += 1;
    const context = writeContext(caller, { Dockerfile: dockerfile });
    const command = `${caller.command.join(' ')} build --no-cache ${flags} --build-context base=oci-layout://${base} ${context}`;
    const script = `trap : INT; export CI=${ci} TSBUILD_ROOT=${join(caller.home, 'store')}; ${command}; echo "code=$?" "$(stty -a | grep -o '[-]*\\becho\\b')"; exec cat`;
    tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), `sh -c ${quote(script)}`);
  };
  const screen = (): string => tmux('capture-pane', '-p', '-J');
  const history = (): string => tmux('capture-pane', '-p', '-J', '-S', '-');
  const until = (pattern: RegExp): string => {
    const endMs = Date.now() + 30_000;
    for (;;) {
      const text = history();
      if (pattern.test(text)) return text;
      if (Date.now() > endMs) throw new Error(`${pattern} never came:\n${text}`);
    }
  };
  /** Cursor visible, no alternate screen, echo on. */
  const expectRestored = (code: number): void => {
    expect(until(/code=\d+/)).toMatch(new RegExp(`code=${code} echo`));
    expect(tmux('display-message', '-p', '#{cursor_flag} #{alternate_on}').trim()).toBe('1 0');
  };

  it.each(['false', 'true'])(
    'shows running steps with their last lines, then folds them into finished ones (CI=%s)',
    (ci) => {
      start('FROM base\nRUN echo one; echo two; sleep 3\nRUN echo last\n', { ci });
      const running = until(/│ two/);
      expect(running).toMatch(
        /• \[1\/3\] RUN echo one; echo two; sleep 3 \d\.\ds\n(?: {4}why: .*\n)? {2}│ one\n {2}│ two\n/,
      );
      expectRestored(0);
      const ended = history();
      expect(ended).toMatch(/✓ \[1\/3\] RUN echo one; echo two; sleep 3 \d\.\ds\n/);
      expect(ended).not.toContain('│');
      expect(ended).toMatch(/^sha256:[0-9a-f]{64}$/m);
    },
  );

  it.each([
    [20, 5],
    [10, 3],
    [200, 4],
  ])('stays within %i columns and %i rows', (columns, rows) => {
    start(
      'FROM base AS a\nRUN for i in 1 2 3 4 5 6 7 8 9; do echo a line that is longer than twenty columns $i; done; sleep 1\nFROM base\nRUN echo b; sleep 1\nCOPY --from=a /etc/passwd /p\n',
      { columns, rows },
    );
    until(/code=/);
    expectRestored(0);
    const marks = history().match(/^[✓=] /gm) ?? [];
    // Every step once: nothing was drawn over or drawn twice.
    expect(marks.length).toBeGreaterThanOrEqual(7);
    expect(marks.length).toBeLessThanOrEqual(10);
  });

  it('shows all that a failing step wrote, however much it is', () => {
    start('FROM base\nRUN i=0; while [ $i -lt 20000 ]; do echo "line $i of a long output"; i=$((i+1)); done; exit 3\n');
    expectRestored(1);
    const context = writeContext(caller, {
      Dockerfile:
        'FROM base\nRUN i=0; while [ $i -lt 20000 ]; do echo "line $i of a long output"; i=$((i+1)); done; exit 3\n',
    });
    for (const mode of ['tty', 'quiet']) {
      const result = caller.tsbuild([
        'build',
        '--no-cache',
        `--progress=${mode}`,
        '--build-context',
        `base=oci-layout://${base}`,
        context,
      ]);
      const report = result.stderr.slice(result.stderr.indexOf('------\n'));
      const lines = report.match(/^\d+\.\d{3} line \d+ of a long output$/gm) ?? [];
      expect(lines.length).toBe(20_000);
      expect(lines[0]).toMatch(/ line 0 of/);
      expect(lines.at(-1)).toMatch(/ line 19999 of/);
    }
  });

  it('says in the report of plain progress how much came before, and where it is', () => {
    const context = writeContext(caller, {
      Dockerfile:
        'FROM base\nRUN i=0; while [ $i -lt 20000 ]; do echo "line $i of a long output"; i=$((i+1)); done; exit 3\n',
    });
    const result = caller.tsbuild([
      'build',
      '--no-cache',
      '--progress=plain',
      '--build-context',
      `base=oci-layout://${base}`,
      context,
    ]);
    expect(outputOf(result)).toMatch(/\n… \d+ bytes before this: \/.*\/runs\/\w+\/\d+\.log\n/);
  });

  it('is not broken by control sequences of a step', () => {
    start(
      `FROM base\nRUN printf '\\033[?1049h\\033[?25l\\033[2J\\033]0;title\\007\\033[31mred\\033[0m \\033Pq#0\\033\\\\after\\rover\\n'; sleep 1; exit 4\n`,
    );
    expect(until(/│ over/)).not.toMatch(/│.*title/);
    expectRestored(1);
    expect(history()).toMatch(/\d\.\d{3} red after.*over|\d\.\d{3} .*over/);
  });

  it.each(['C-c', 'TERM'])('leaves the terminal as it was when it is ended by %s', (how) => {
    start('FROM base\nRUN echo started; sleep 33\n');
    until(/│ started/);
    if (how === 'C-c') tmux('send-keys', 'C-c');
    else execFileSync('pkill', ['-TERM', '-P', tmux('display-message', '-p', '#{pane_pid}').trim()]);
    expectRestored(130);
    expect(history()).toContain('finished steps are kept');
    expect(history()).toContain('error: interrupted by SIG');
  });

  it('prints nothing but the image ID when quiet', () => {
    start('FROM base\nRUN echo seen\n', { flags: '-q' });
    expectRestored(0);
    expect(screen().trim().split('\n')).toEqual([expect.stringMatching(/^sha256:[0-9a-f]{64}$/), 'code=0 echo']);
  });
});

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
