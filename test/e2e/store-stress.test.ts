// One store, many processes that build, prune and are killed: whatever happens, results are right and the store stays sound.
// TSBUILD_STRESS_SECONDS makes it longer; two minutes are 200 kills.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { type Caller, describeCallers, makeBase, outputOf, writeContext } from './harness.ts';
import { processesNaming } from './processes-naming.ts';

const base = makeBase();
const SECONDS = Number(process.env['TSBUILD_STRESS_SECONDS'] ?? 12);
const KILLS = Math.ceil((SECONDS * 200) / 120);
const BUILDERS = 8;
const LIMIT = 24_000_000;
const FILE_BYTES = 150_000;

const ORDINARY_USER = ['setpriv', '--reuid=tsbuild-test', '--regid=tsbuild-test', '--init-groups'];

interface Ended {
  readonly code: number | null;
  readonly isKilled: boolean;
  readonly text: string;
}

const DOCKERFILE = `FROM base AS first
RUN echo common > /common
COPY f /f
RUN cat /f > /g
FROM base AS second
ARG ROUND
COPY --from=first /common /g /
RUN --mount=from=first,target=/m --mount=type=cache,target=/cache cat /m/f /m/common > /h && echo $ROUND > /round && echo x >> /cache/x
FROM scratch
COPY --from=first /common /f /g /
COPY --from=second /h /round /
`;

describeCallers('a store under stress', { needs: ['setpriv'] }, (caller) => {
  it(`is sound after ${BUILDERS} builders, prunes and ${KILLS} SIGKILLs in ${SECONDS} s`, {
    timeout: SECONDS * 1000 + 240_000,
  }, async () => {
    const stress = new Stress(caller, caller.prefix.length === 0 ? [] : ORDINARY_USER);
    await stress.run();
    expect(stress.problems).toEqual([]);
    expect(stress.kills).toBeGreaterThanOrEqual(KILLS);
    expect(stress.built).toBeGreaterThan(BUILDERS);
    expectSound(caller);
    expectLimit(caller);
    expectSound(caller);
    expectRemovable(caller);
    process.stderr.write(`${stress.built} builds, ${stress.prunes} prunes, ${stress.kills} kills\n`);
  });
});

class Stress {
  readonly problems: string[] = [];
  kills = 0;
  built = 0;
  prunes = 0;
  readonly #caller: Caller;
  readonly #argv: readonly string[];
  readonly #live = new Set<ChildProcess>();
  #endMs = 0;

  constructor(caller: Caller, argv: readonly string[]) {
    this.#caller = caller;
    this.#argv = argv;
  }

  async run(): Promise<void> {
    this.#endMs = Date.now() + SECONDS * 1000;
    const builders = Array.from({ length: BUILDERS }, (_, n) => this.#build(n));
    await Promise.all([...builders, this.#prune(), this.#kill()]);
  }

  get #isOver(): boolean {
    return Date.now() >= this.#endMs && this.kills >= KILLS;
  }

  async #build(n: number): Promise<void> {
    const context = writeContext(this.#caller, { Dockerfile: DOCKERFILE, f: '' });
    const dest = join(this.#caller.home, `out-${n}`);
    for (let round = 0; !this.#isOver; round += 1) {
      const text = textOf(`builder ${n % 6} round ${round % 7}`);
      writeFileSync(join(context, 'f'), text);
      const output = round % 4 === 3 ? 'type=oci,dest=/dev/null' : `type=local,dest=${dest}`;
      rmSync(dest, { recursive: true, force: true });
      const flags = ['--build-arg', `ROUND=${round % 3}`, '-t', `b${n}:1`, '-o', output];
      const { code, isKilled, text: said } = await this.#start([...buildArgs(), ...flags, context]);
      if (isKilled) continue;
      this.built += 1;
      if (code !== 0) this.problems.push(said);
      else if (output.startsWith('type=local')) this.#check(dest, { text, round: `${round % 3}\n` });
    }
  }

  #check(dest: string, { text, round }: { readonly text: string; readonly round: string }): void {
    const wanted = { common: 'common\n', f: text, g: text, h: `${text}common\n`, round };
    for (const [name, bytes] of Object.entries(wanted))
      if (readFileSync(join(dest, name), 'utf8') !== bytes) this.problems.push(`wrong bytes in ${name}`);
  }

  async #prune(): Promise<void> {
    const kinds = [['--all'], ['--keep-storage', String(LIMIT)], [], ['--all', '--keep-storage', '1m']];
    for (let round = 0; !this.#isOver; round += 1) {
      const { code, isKilled, text } = await this.#start(['prune', ...(kinds[round % kinds.length] ?? [])]);
      if (!isKilled) this.prunes += 1;
      if (!isKilled && code !== 0) this.problems.push(text);
    }
  }

  /** Ends a process, or it and all it has started, at random moments. */
  async #kill(): Promise<void> {
    while (!this.#isOver) {
      await delay(Math.random() * ((2 * SECONDS * 1000) / KILLS) * 0.8);
      const victims = [...this.#live];
      const victim = victims[Math.floor(Math.random() * victims.length)];
      if (victim?.pid === undefined) continue;
      this.#live.delete(victim);
      if (Math.random() < 0.5) victim.kill('SIGKILL');
      else killGroup(victim.pid);
      this.kills += 1;
    }
  }

  #start(args: readonly string[]): Promise<Ended> {
    const [program = '', ...rest] = [...this.#argv, ...this.#caller.command, ...args];
    const { home } = this.#caller;
    const env = { ...process.env, HOME: home, TSBUILD_ROOT: join(home, 'store'), TSBUILD_KEEP_STORAGE: '1m' };
    const child = spawn(program, rest, { env, cwd: home, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#live.add(child);
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    return new Promise((resolve) =>
      child.on('close', (code, signal) => {
        this.#live.delete(child);
        resolve({ code, isKilled: signal === 'SIGKILL', text });
      }),
    );
  }
}

function buildArgs(): readonly string[] {
  return ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`];
}

/** Bytes that do not compress away, the same for the same words. */
function textOf(words: string): string {
  let state = [...words].reduce((sum, char) => (Math.imul(sum, 31) + (char.codePointAt(0) ?? 0)) >>> 0, 7);
  let text = `${words}\n`;
  while (text.length < FILE_BYTES) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += `${state.toString(36)}\n`;
  }
  return text;
}

/** No damage, nothing left of the dead. */
function expectSound(caller: Caller): void {
  const store = join(caller.home, 'store');
  const doctor = caller.tsbuild(['doctor', '--store']);
  expect(doctor.status, outputOf(doctor)).toBe(0);
  for (const name of ['database', 'blobs', 'layers']) expect(doctor.stdout).toMatch(new RegExp(`^ok +${name} `, 'm'));
  const used = JSON.parse(caller.tsbuild(['du', '--json']).stdout).total.sizeBytes;
  // As root of the machine: what subordinate users have closed is counted, too.
  const du = Number.parseInt(execFileSync('du', ['-s', '-B1', store], { encoding: 'utf8' }), 10);
  expect(Math.abs(used - du) / du, `${used} is not ${du}`).toBeLessThan(0.01);
  expect(readdirSync(join(store, 'tmp')).filter((name) => name !== 'sandbox')).toEqual([]);
  expect(processesNaming(store)).toEqual([]);
}

/** Filled beyond the limit, then brought to it. */
function expectLimit(caller: Caller): void {
  const lines = Array.from({ length: 20 }, (_, n) => `COPY f${n} /`);
  for (let round = 0; round < 10; round += 1) {
    const files = Array.from({ length: 20 }, (_, n) => [`f${n}`, textOf(`fill ${round} ${n}`)] as const);
    const context = writeContext(caller, {
      Dockerfile: ['FROM scratch', ...lines].join('\n'),
      ...Object.fromEntries(files),
    });
    const built = caller.tsbuild([...buildArgs(), context], { env: { TSBUILD_KEEP_STORAGE: '0' } });
    expect(built.status, outputOf(built)).toBe(0);
  }
  const before = JSON.parse(caller.tsbuild(['du', '--json']).stdout).total.sizeBytes;
  expect(before).toBeGreaterThan(LIMIT);
  const pruned = JSON.parse(caller.tsbuild(['prune', '--keep-storage', String(LIMIT), '--json']).stdout);
  const after = JSON.parse(caller.tsbuild(['du', '--json']).stdout).total.sizeBytes;
  for (const bytes of [pruned.leftBytes, after]) {
    expect(bytes).toBeLessThan(LIMIT * 1.02);
    // What the killed have left behind may go in one piece, larger than what the builds above made.
    expect(bytes).toBeGreaterThan(LIMIT * 0.85);
  }
}

function expectRemovable(caller: Caller): void {
  const names = Array.from({ length: BUILDERS }, (_, n) => `b${n}:1`);
  const images = caller.tsbuild(['images']).stdout;
  for (const name of names)
    if (images.includes(name.replace(':', ' ').split(' ')[0] ?? '')) caller.tsbuild(['rmi', name]);
  const pruned = caller.tsbuild(['prune', '--all']);
  expect(pruned.status, outputOf(pruned)).toBe(0);
  expect(readdirSync(join(caller.home, 'store', 'snapshots'))).toEqual([]);
  expect(readdirSync(join(caller.home, 'store', 'blobs', 'sha256'))).toEqual([]);
}

/** It may have ended just now. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
