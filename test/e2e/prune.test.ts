// Keeping the store small, from outside; store-stress.test.ts shows that what is in use is never taken.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeRoot, makeBase, outputOf, rootCaller, userCaller, writeContext } from './harness.ts';

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

  it('refuses a filter it does not know', () => {
    const refused = caller.tsbuild(['prune', '--filter', 'colour=red']);
    expect(refused.status).toBe(2);
    expect(outputOf(refused)).toContain('error: invalid --filter "colour=red"');
  });
});
