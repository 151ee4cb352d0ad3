// What Node executes of its own cache must be nobody's but the caller's.
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeCallers, outputOf } from './harness.ts';

describeCallers('the compiled command', {}, (caller) => {
  const directory = (): string => (caller.name === 'root' ? '/var/cache/tsbuild' : join(caller.home, '.cache/tsbuild'));

  it('is kept in a directory of the caller alone, and not where everybody may write', () => {
    rmSync(directory(), { recursive: true, force: true });
    const tmp = join(caller.home, 'tmp');
    mkdirSync(tmp);
    chmodSync(tmp, 0o1777);
    const ran = caller.run(
      'sh',
      ['-c', 'umask 0; export HOME="$0"; exec "$@"', caller.home, ...caller.command, 'images'],
      {
        env: { TMPDIR: tmp },
      },
    );
    expect(outputOf(ran)).not.toContain('error');
    expect(ran.status).toBe(0);
    expect(readdirSync(tmp)).toEqual([]);
    expect(readdirSync(directory())).not.toEqual([]);
    const { mode, uid } = statSync(directory());
    expect([mode & 0o777, uid]).toEqual([0o700, statSync(caller.home).uid]);
  });

  it('is not kept where there is no place for it', () => {
    const ran = caller.run('env', ['HOME=/dev/null', ...caller.command, 'images']);
    expect([ran.stderr, ran.status]).toEqual(['', 0]);
  });
});
