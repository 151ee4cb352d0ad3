// Keeping the store small, from outside; store-stress.test.ts shows that what is in use is never taken.
import { existsSync } from 'node:fs';
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

  it('refuses a filter it does not know', () => {
    const refused = caller.tsbuild(['prune', '--filter', 'colour=red']);
    expect(refused.status).toBe(2);
    expect(outputOf(refused)).toContain('error: invalid --filter "colour=red"');
  });
});
