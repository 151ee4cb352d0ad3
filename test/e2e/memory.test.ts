// Peak memory of whole builds, as the kernel counts it.
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeRoot, makeBase, writeContext } from './harness.ts';

const base = makeBase();
const FILES = 50_000;
/** What the README promises. */
const MOST_MIB = 250;
const GNU_TIME = { name: 'GNU time', isHere: spawnSync('/usr/bin/time', ['-f', '%M', 'true']).status === 0 };

describeRoot('peak memory', { needs: [GNU_TIME], timeout: 600_000 }, (caller) => {
  const peakMiB = (context: string, ...flags: string[]): number => {
    const named = ['--build-context', `base=oci-layout://${base}`];
    const file = join(caller.home, 'peak');
    const args = ['-f', '%M', '-o', file, ...caller.command, 'build', '--progress=plain', ...named, ...flags, context];
    const result = caller.run('/usr/bin/time', args);
    expect(result.status, result.stderr).toBe(0);
    return Number(readFileSync(file, 'utf8')) / 1024;
  };

  it(`stays below ${MOST_MIB} MiB with ${FILES} files, at first, again, and with one of them changed`, () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY . /app\nRUN true\n' });
    for (let at = 0; at < FILES; at += 1) {
      const directory = join(context, `n/${Math.floor(at / 100) % 50}/${Math.floor(at / 100)}`);
      if (at % 100 === 0) mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, `${at % 100}.js`), `${at}`.repeat(50));
    }
    expect(peakMiB(context)).toBeLessThan(MOST_MIB);
    expect(peakMiB(context)).toBeLessThan(MOST_MIB);
    for (const change of ['a', 'b']) {
      appendFileSync(join(context, 'n/3/3/5.js'), change);
      expect(peakMiB(context)).toBeLessThan(MOST_MIB);
    }
    for (const type of ['oci', 'docker'])
      expect(peakMiB(context, '-o', `type=${type},dest=${caller.home}/out`)).toBeLessThan(MOST_MIB);
  });

  it(`stays below ${MOST_MIB} MiB when a layer holds a file of 1 GiB, made, exported and imported`, () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY big /big\n' });
    caller.run('truncate', ['-s', '1G', join(context, 'big')]);
    const layout = join(caller.home, 'layout');
    expect(peakMiB(context, '-o', `type=oci,dest=${layout},tar=false`)).toBeLessThan(MOST_MIB);
    const next = writeContext(caller, { Dockerfile: 'FROM made\nCOPY Dockerfile /d\n' });
    const imported = ['--build-context', `made=oci-layout://${layout}`, '--no-cache'];
    caller.run('rm', ['-rf', join(caller.home, 'store')]);
    expect(peakMiB(next, ...imported)).toBeLessThan(MOST_MIB);
  });
});
