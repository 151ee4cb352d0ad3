// The check that a release must pass, against a real BuildKit where one is named: `docker -H …` with buildx, whose daemon's
// build cache is emptied by it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeNeeding, itNeeding, PROJECT } from '../needs.ts';

const DOCKER = process.env['TSBUILD_RELEASE_DOCKER'];

function check(...args: readonly string[]) {
  return spawnSync(process.execPath, [join(PROJECT, '.build', 'release-check.mjs'), ...args], { encoding: 'utf8' });
}

describeNeeding([], 'the release check', () => {
  it('asks for one BuildKit', () => {
    expect(check()).toMatchObject({ status: 2, stdout: expect.stringContaining('--docker COMMAND | --buildctl ADDR') });
    expect(check('--docker', 'docker', '--buildctl', 'unix:///none').status).toBe(2);
  });

  itNeeding(
    [{ name: '$TSBUILD_RELEASE_DOCKER', isHere: DOCKER !== undefined }, 'lab', 'root'],
    'finds every step cached, and records equal',
    () => {
      const cases = ['stages', 'mounts', 'links'].flatMap((name) => ['--case', name]);
      const { status, stdout } = check('--docker', DOCKER ?? '', '--network', 'host', ...cases);
      expect(stdout).toMatch(/^BuildKit \S+/);
      expect(stdout).toContain('36 passed, 0 failed');
      expect(status).toBe(0);
    },
    { timeout: 900_000 },
  );
});
