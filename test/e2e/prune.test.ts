// Keeping the store small, from outside: what is in use is never taken, whoever prunes and whoever dies.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, rootCaller, userCaller, writeContext } from './harness.ts';

const base = makeBase();
const STRESS_MS = 20_000;
const BUILDERS = 4;

interface Ended {
  readonly code: number | null;
  readonly killed: boolean;
  readonly text: string;
}

describeRoot('pruning', {}, (caller) => {
  const argsFor = (context: string, ...flags: string[]): string[] => {
    return ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context];
  };

  /** Runs the command beside others; killed at a random moment when asked. */
  const start = (args: readonly string[], store: string, killAfterMs?: number): Promise<Ended> => {
    const [node = '', script = ''] = caller.command;
    const env = { ...process.env, TSBUILD_ROOT: store, TSBUILD_KEEP_STORAGE: '1m' };
    const child = spawn(node, [script, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    const timer = killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    return new Promise((resolve) =>
      child.on('close', (code, signal) => {
        clearTimeout(timer);
        resolve({ code, killed: signal === 'SIGKILL', text });
      }),
    );
  };

  it('never takes from a build what it uses, while builds run, prunes loop and processes are killed', {
    timeout: 120_000,
  }, async () => {
    const store = join(caller.home, 'stressed');
    const endMs = Date.now() + STRESS_MS;
    const problems: string[] = [];
    let builds = 0;
    let kills = 0;
    const builder = async (n: number): Promise<void> => {
      const context = writeContext(caller, { Dockerfile: '', f: '' });
      for (let round = 0; Date.now() < endMs; round += 1) {
        const word = `w${n}-${round % 3}`;
        writeFileSync(join(context, 'f'), word);
        const lines = ['FROM base AS first', 'RUN echo common > /common', 'COPY f /f', 'RUN cat /f > /g', 'FROM base'];
        const last = [
          'COPY --from=first /common /g /',
          `RUN --mount=from=first,target=/m cat /m/f /g /common && echo ${round % 2}`,
        ];
        writeFileSync(join(context, 'Dockerfile'), [...lines, ...last].join('\n'));
        const isVictim = Math.random() < 0.3;
        const result = await start(
          argsFor(context, '-t', `b${n}:1`, '-o', 'type=tar,dest=/dev/null'),
          store,
          isVictim ? Math.random() * 700 : undefined,
        );
        builds += 1;
        if (result.killed) kills += 1;
        else if (result.code !== 0) problems.push(result.text);
        else if (/^#\d+ [\d.]+ w/m.test(result.text) && !result.text.includes(word))
          problems.push(`wrong bytes: ${result.text}`);
      }
    };
    const pruner = async (): Promise<void> => {
      while (Date.now() < endMs) {
        const result = await start(['prune', '--all'], store, Math.random() < 0.3 ? Math.random() * 400 : undefined);
        if (!result.killed && result.code !== 0) problems.push(result.text);
      }
    };
    await Promise.all([...Array.from({ length: BUILDERS }, (_, n) => builder(n)), pruner()]);
    expect(problems).toEqual([]);
    expect(builds).toBeGreaterThan(20);
    expect(kills).toBeGreaterThan(2);
    for (let n = 0; n < BUILDERS; n += 1) expect(caller.tsbuild(['rmi', `b${n}:1`], { store }).status).toBe(0);
    const pruned = caller.tsbuild(['prune', '--all'], { store });
    expect(pruned.status, outputOf(pruned)).toBe(0);
    expect(readdirSync(join(store, 'snapshots'))).toEqual([]);
    expect(readdirSync(join(store, 'blobs/sha256'))).toEqual([]);
  });

  for (const makeCaller of [rootCaller, userCaller]) {
    it(`works for ${makeCaller === rootCaller ? 'root' : 'an ordinary user'}`, () => {
      using user = makeCaller();
      const big = Buffer.alloc(12_000_000, 1);
      const context = writeContext(user, { Dockerfile: 'FROM base\nCOPY --chown=5:5 big /\n', big });
      const built = user.tsbuild(argsFor(context, '-t', 'big:1'));
      expect(built.status, outputOf(built)).toBe(0);
      const usage = () => JSON.parse(user.tsbuild(['du', '--json']).stdout).total.sizeBytes;
      const full = usage();
      expect(full).toBeGreaterThan(12_000_000);
      const du = Number.parseInt(user.run('du', ['-sk', join(user.home, 'store')]).stdout, 10) * 1024;
      if (user.prefix.length === 0) expect(Math.abs(full - du) / du).toBeLessThan(0.01);
      expect(user.tsbuild(['prune']).stdout).toMatch(/^freed .*B, .*B left\n$/);
      expect(usage()).toBeGreaterThan(12_000_000);
      expect(outputOf(user.tsbuild(argsFor(context)))).toContain('CACHED');
      expect(user.tsbuild(['rmi', 'big:1']).stdout).toMatch(/^untagged docker.io\/library\/big:1\n/);
      expect(outputOf(user.tsbuild(['rmi', 'big:1']))).toContain('error: no image "big:1" in the store');
      user.tsbuild(['prune', '--all']);
      // The reserve for a full disk is 1 MiB of it.
      expect(usage()).toBeLessThan(1_000_000 + 1_048_576);
      expect(existsSync(join(user.home, 'store', 'meta.db'))).toBe(true);
    });
  }

  it('refuses a filter it does not know', () => {
    const refused = caller.tsbuild(['prune', '--filter', 'colour=red']);
    expect(refused.status).toBe(2);
    expect(outputOf(refused)).toContain('error: invalid --filter "colour=red"');
  });
});
