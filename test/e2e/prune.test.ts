// Keeping the store small, from outside; store-stress.test.ts shows that what is in use is never taken.
import { existsSync, readFileSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, rootCaller, userCaller, writeContext } from './harness.ts';
import { startBuild } from './running-build.ts';

const base = makeBase();

describeRoot('pruning', {}, (caller) => {
  const argsFor = (context: string, ...flags: string[]): string[] => {
    return ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context];
  };

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

  it('takes cache mounts by their id, or all of them, and nothing else with them', () => {
    const mount = (rest: string): string => `RUN --mount=type=cache,${rest} echo x > /c/x\n`;
    const own = 'FROM base AS seed\nFROM base\n';
    const mounts = ['id=npm,target=/c', 'id=seeded,from=seed,target=/c', 'target=/c', 'id=other,target=/c'];
    const context = writeContext(caller, { Dockerfile: `${own}${mounts.map(mount).join('')}` });
    const store = join(caller.home, 'mounts-store');
    const at = (...args: string[]) => caller.tsbuild(args, { store });
    const left = (): readonly string[] =>
      readdirSync(join(store, 'mounts'))
        .map((name) => readFileSync(join(store, 'mounts', name, 'id'), 'utf8'))
        .sort();
    expect(at(...argsFor(context)).status).toBe(0);
    expect(left()).toEqual(['//c', '/npm', '/other', '/seeded']);
    at('prune', '--filter', 'id=npm', '--filter', 'id=seeded');
    expect(left()).toEqual(['//c', '/other']);
    at('prune', '--filter', 'id=/c');
    expect(left()).toEqual(['/other']);
    at('prune', '--filter', 'type=mount,until=1h');
    expect(left()).toEqual(['/other']);
    at('prune', '--filter', 'type=mount');
    expect(left()).toEqual([]);
    expect(outputOf(at(...argsFor(context))).match(/^#\d+ CACHED$/gm)?.length).toBe(5);
  });

  it('takes cache mounts after a build that were unused for two days, and says so, when the store is beyond its limit', () => {
    const store = join(caller.home, 'idle-store');
    const at = (env: Readonly<Record<string, string>>, ...args: string[]) => caller.tsbuild(args, { store, env });
    const fill = (id: string): string =>
      `RUN --mount=type=cache,id=${id},target=/c i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo ${'x'.repeat(500)}; done > /c/big\n`;
    const first = writeContext(caller, { Dockerfile: `FROM base\n${fill('old')}${fill('older')}${fill('young')}` });
    expect(at({}, ...argsFor(first)).status).toBe(0);
    const mounts = (): ReadonlyMap<string, string> =>
      new Map(
        readdirSync(join(store, 'mounts')).map((name) => [
          readFileSync(join(store, 'mounts', name, 'id'), 'utf8').slice(1),
          name,
        ]),
      );
    for (const [id, days] of [
      ['old', 3],
      ['older', 5],
    ] as const) {
      const then = new Date(Date.now() - days * 86_400_000);
      const name = mounts().get(id) ?? '';
      for (const path of [join(store, 'mounts', name), join(store, 'locks', `mount-${name}`)])
        utimesSync(path, then, then);
    }
    const used = at({}, 'du', '-v').stdout;
    expect(used).toMatch(
      /\nCACHE MOUNT +SIZE +LAST USED\nolder +[\d.]+MB +5 days ago\nold +[\d.]+MB +3 days ago\nyoung +[\d.]+MB +/,
    );
    const { total } = JSON.parse(at({}, 'du', '--json').stdout);
    const second = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo new > /new\n' });
    const limit = { TSBUILD_KEEP_STORAGE: String(total.sizeBytes - 500_000) };
    const built = outputOf(at(limit, ...argsFor(second)));
    expect(built).toMatch(
      /#(\d+) removing unused cache mounts\n#\1 cache mount older \([\d.]+MB, last used 5 days ago\) done\n#\1 DONE/,
    );
    expect([...mounts().keys()].sort()).toEqual(['old', 'young']);
    // A use makes it young again, and results go before young mounts.
    const third = writeContext(caller, { Dockerfile: 'FROM base\nRUN --mount=type=cache,id=old,target=/c true\n' });
    expect(outputOf(at({ TSBUILD_KEEP_STORAGE: '1' }, ...argsFor(third)))).not.toContain('removing unused');
    expect([...mounts().keys()].sort()).toEqual(['old', 'young']);
  });

  it('keeps the store below its limit, whatever a build has left', () => {
    const limit = 8_000_000;
    const store = join(caller.home, 'limited-store');
    const env = { TSBUILD_KEEP_STORAGE: String(limit) };
    const bytes = () => 1024 * Number.parseInt(caller.run('du', ['-sk', store]).stdout, 10);
    const text = (bytes: number): string => `${'x'.repeat(99)}\n`.repeat(bytes / 100);
    const build = (command: string) => {
      const Dockerfile = `FROM base\nRUN --mount=type=bind,target=/c ${command}\n`;
      const context = writeContext(caller, { Dockerfile, big: text(3_000_000), half: text(1_500_000) });
      const built = caller.tsbuild(argsFor(context, '-q'), { store, env });
      expect(built.status, outputOf(built)).toBe(0);
      // A build has little time to remove what it gives up, and a busy disk takes it all; this has enough.
      caller.tsbuild(['du'], { store });
      expect(bytes()).toBeLessThan(limit * 1.02);
    };
    for (let n = 0; n < 3; n += 1) build(`cat /c/big; : ${n}`);
    for (let n = 0; n < 5; n += 1) build(`cat /c/half > /f${n}`);
    const at = (...args: string[]) => caller.tsbuild(args, { store });
    expect(at('history').stdout.trimEnd().split('\n')).toHaveLength(9);
    const { kinds } = JSON.parse(at('du', '--json').stdout);
    const logs = kinds.find(({ kind }: { kind: string }) => kind === 'logs');
    if (logs.count > 0) expect(logs.reclaimableBytes).toBeGreaterThan(0);
    at('prune', '--keep-storage', '2m');
    expect(bytes()).toBeLessThan(2_040_000);
  });

  it('forgets builds, those of which a failed step is kept with it, and none that runs', async () => {
    const store = join(caller.home, 'history-store');
    const at = (...args: string[]) => caller.tsbuild(args, { store });
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo said > /left; exit 3\n' });
    const listed = (): readonly { id: string }[] =>
      at('history', '--json')
        .stdout.split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line));
    for (let n = 0; n < 3; n += 1) expect(at(...argsFor(context)).status).toBe(1);
    const [latest] = listed();
    expect(at('history', '--json').stdout).toBe(at('history', 'ls', '--json').stdout);
    expect(at('history').stdout).toMatch(new RegExp(`^BUILD +STATUS .*\\n${latest?.id} +failed `));
    expect(outputOf(at('history', 'nonsense'))).toContain("error: unknown command 'nonsense'");
    expect(at('history', 'rm', latest?.id ?? '').stdout).toBe(`${latest?.id}\n`);
    expect(at('debug', latest?.id ?? '', '-c', 'true').status).not.toBe(0);
    expect(listed()).toHaveLength(2);
    const slow = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo begun; sleep 600\n' });
    const running = await startBuild(caller, argsFor(slow), {
      env: { TSBUILD_ROOT: store },
      hasBegun: ({ text }) => /^#\d+ [\d.]+ begun$/m.test(text),
    });
    try {
      const [one] = listed();
      const refused = at('history', 'rm', one?.id ?? '');
      expect(refused.status).toBe(1);
      expect(refused.stderr).toBe(`error: build ${one?.id} is running\nhint: it can be forgotten when it has ended\n`);
      expect(at('history', 'rm', 'all').stdout.trimEnd().split('\n')).toHaveLength(2);
      expect(listed().map(({ id }) => id)).toEqual([one?.id]);
    } finally {
      process.kill(running.pid, 'SIGTERM');
      await running.ended;
    }
    expect(at('history', 'rm', 'all').stdout).not.toBe('');
    expect(readdirSync(join(store, 'runs'))).toEqual([]);
  });

  it('refuses a filter it does not know', () => {
    const refused = caller.tsbuild(['prune', '--filter', 'colour=red']);
    expect(refused.status).toBe(2);
    expect(outputOf(refused)).toContain('error: invalid --filter "colour=red"');
  });
});
