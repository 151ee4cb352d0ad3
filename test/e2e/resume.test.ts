// A build that is killed goes on where it stopped: after step k of ten, the next one runs k + 1 to 10.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeBase, outputOf, describeCallers, writeContext } from './harness.ts';

const base = makeBase();
const STEPS = 10;

/** Step n waits when the secret says so: a secret is in no key, so both builds are the same. */
const waitingRun = (n: number): string =>
  `RUN --mount=type=secret,id=hold [ "$(cat /run/secrets/hold)" != ${n} ] || sleep 600; echo ${n} > /f${n}`;
const numbers = Array.from({ length: STEPS }, (_, index) => index + 1);

/** Every third step is a COPY: step k for an even k, else another; k + 1 never is, for a COPY cannot wait. */
function dockerfileFor(k: number): string {
  const copied = k % 2 === 0 ? k : k + 2;
  const steps = numbers.map((n) => (n % 3 === copied % 3 ? `COPY f${n} /f${n}` : waitingRun(n)));
  return ['FROM base', ...steps, ''].join('\n');
}

describeCallers('a build that is killed', {}, (caller) => {
  // Nothing differs for an ordinary user but the namespace.
  const kills = caller.prefix.length === 0 ? numbers : [4];

  const argsFor = (context: string, ...flags: string[]): string[] => [
    'build',
    '--progress=plain',
    '--build-context',
    `base=oci-layout://${base}`,
    '--secret',
    'id=hold,env=HOLD',
    ...flags,
    context,
  ];

  /** Kills the build, and all it has started, as soon as it says that step k is done. */
  const killAfter = async (k: number, context: string, store: string): Promise<void> => {
    const [program = '', ...args] = [...caller.prefix, ...caller.command, ...argsFor(context)];
    const env = { ...process.env, HOME: caller.home, TSBUILD_ROOT: store, HOLD: `${k + 1}` };
    const child = spawn(program, args, { env, cwd: caller.home, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    let isKilled = false;
    child.stderr.on('data', (chunk) => {
      text += chunk;
      const number = new RegExp(`^#(\\d+) \\[stage-0 +${k}/${STEPS + 1}\\] `, 'm').exec(text)?.[1];
      if (isKilled || number === undefined || !text.includes(`#${number} DONE`) || child.pid === undefined) return;
      isKilled = true;
      process.kill(-child.pid, 'SIGKILL');
    });
    const patience = setTimeout(() => child.pid === undefined || process.kill(-child.pid, 'SIGKILL'), 60_000);
    await new Promise((resolve) => child.on('close', resolve));
    clearTimeout(patience);
    expect(isKilled, text).toBe(true);
  };

  for (const k of kills) {
    it(`after step ${k} of ${STEPS} runs ${k === STEPS ? 'nothing' : `${k + 1} to ${STEPS}`}`, async () => {
      const store = join(caller.home, `store-${k}`);
      const files = Object.fromEntries(numbers.map((n) => [`f${n}`, `${n}\n`]));
      const context = writeContext(caller, { Dockerfile: dockerfileFor(k), ...files });
      await killAfter(k, context, store);
      const dest = join(caller.home, `out-${k}`);
      const again = caller.tsbuild(argsFor(context, '-o', dest), { store, env: { HOLD: '0' } });
      expect(again.status, outputOf(again)).toBe(0);
      expect(ranSteps(outputOf(again))).toEqual(numbers.filter((n) => n > k));
      expect(
        caller.run(
          'cat',
          numbers.map((n) => join(dest, `f${n}`)),
        ).stdout,
      ).toBe(numbers.map((n) => `${n}\n`).join(''));
    });
  }
});

/** Numbers of the steps behind FROM that did not come from the cache. */
function ranSteps(text: string): readonly number[] {
  return [...text.matchAll(/^#(\d+) \[stage-0 +(\d+)\/\d+\] (?:RUN|COPY) /gm)]
    .filter(([, number]) => text.includes(`\n#${number} DONE`))
    .map(([, , index]) => Number(index))
    .sort((a, b) => a - b);
}
