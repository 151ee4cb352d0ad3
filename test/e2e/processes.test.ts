// Several processes in one store, and processes that die in the middle.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { processesNaming } from './processes-naming.ts';
import { describeRoot, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
const KILLS = 100;

describeRoot('processes', {}, (caller) => {
  const argsFor = (context: string, ...flags: string[]): string[] => [
    'build',
    '--progress=plain',
    '--build-context',
    `base=oci-layout://${base}`,
    ...flags,
    context,
  ];

  interface Ended {
    readonly code: number | null;
    readonly text: string;
  }

  const start = (args: readonly string[], store: string) => {
    const [node = '', script = ''] = caller.command;
    const child = spawn(node, [script, ...args], {
      env: { ...process.env, TSBUILD_ROOT: store },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, text })));
    return { child, ended };
  };

  it('build different and equal Dockerfiles in one store at once', async () => {
    const store = join(caller.home, 'shared-store');
    const dockerfile = (n: number) =>
      `FROM base\nRUN echo shared > /shared\nRUN echo ${n} > /own && cat /own /shared\n`;
    const contexts = [0, 1, 0, 1].map((n) => writeContext(caller, { Dockerfile: dockerfile(n) }));
    const results = await Promise.all(
      contexts.map((context, n) => start(argsFor(context, '-t', `p${n}:1`), store).ended),
    );
    for (const [n, { code, text }] of results.entries()) {
      expect(code, text).toBe(0);
      if (/#\d+ [\d.]+ /.test(text)) expect(text).not.toMatch(new RegExp(`#\\d+ [\\d.]+ ${1 - (n % 2)}$`, 'm'));
    }
    for (const [n, context] of contexts.entries()) {
      const again = caller.tsbuild(argsFor(context, '-t', `p${n}:1`), { store });
      expect(outputOf(again)).not.toMatch(/\] RUN .*\n#\d+ (?!CACHED)/);
    }
    const images = caller.tsbuild(['images'], { store }).stdout;
    for (const n of [0, 1, 2, 3]) expect(images).toMatch(new RegExp(`^p${n} +1 `, 'm'));
  });

  it(`survive ${KILLS} SIGKILLs at random moments`, { timeout: 600_000 }, async () => {
    const store = join(caller.home, 'killed-store');
    const context = writeContext(caller, {
      Dockerfile: `FROM base\n${Array.from({ length: 6 }, (_, n) => `COPY f /f${n}\nRUN echo $RANDOM_SEED ${n} > /r${n}`).join('\n')}\n`,
      f: 'x'.repeat(100_000),
    });
    const finished = new Set<string>();
    for (let kill = 0; kill < KILLS; kill += 1) {
      const { child, ended } = start(
        argsFor(context, '--build-arg', `N=${kill % 7}`, ...(kill % 5 === 0 ? ['--no-cache'] : [])),
        store,
      );
      const patience = new Promise<void>((resolve) => setTimeout(resolve, 40 + Math.random() * 500));
      await Promise.race([patience, ended]);
      child.kill('SIGKILL');
      const { text } = await ended;
      for (const match of text.matchAll(/^#(\d+) (\[\d+\/\d+\] .*)$/gm)) {
        const [, number, name] = match;
        if (name && new RegExp(`^#${number} (DONE|CACHED)`, 'm').test(text)) finished.add(name);
      }
    }
    const last = start(argsFor(context), store);
    const { code, text } = await last.ended;
    expect(code, text).toBe(0);
    for (const match of text.matchAll(/^#(\d+) (\[\d+\/\d+\] .*)\n#\1 DONE/gm)) {
      expect(finished.has(match[2] ?? ''), `${match[2]} was finished before and ran again`).toBe(false);
    }
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(store);
    expect(processesNaming(store)).toEqual([]);
    const again = await start(argsFor(context), store).ended;
    expect(again.text).not.toMatch(/^#\d+ \d+\.\d{3}/m);
    expect(existsSync(store)).toBe(true);
  });
});
