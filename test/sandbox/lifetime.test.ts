// How a sandbox ends, whatever ends it: nothing it started and nothing it mounted is left.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { itNeeding } from '../needs.ts';
import { promisedMs } from '../promised-time.ts';
import { EmbeddedExecutor } from '../../src/sandbox/embedded-executor.ts';
import { setupError } from '../../src/sandbox/setup-error.ts';
import { cannotRun, encodeSpec, SandboxFixture, Sink } from './sandbox-runner.ts';

const skip = cannotRun();

/** Processes with this marker in their command line or environment. */
function processesWith(marker: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(marker);
    } catch {
      return false; // It ended meanwhile.
    }
  });
}

/** Waits until a condition holds; the test's own time limit ends the wait. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe.skipIf(skip !== undefined)(`a sandbox's end${skip ? ` [skipped: ${skip}]` : ''}`, () => {
  let fixture: SandboxFixture;
  let executor: EmbeddedExecutor;
  const never = new AbortController().signal;

  beforeAll(() => {
    fixture = new SandboxFixture('root:root');
    executor = new EmbeddedExecutor({ stateDir: join(fixture.dir, 'state') });
  });
  afterAll(async () => {
    await executor.close();
    fixture.remove();
  });

  it('comes at once when aborted, with the reason', async () => {
    const abort = new AbortController();
    let abortedMs = 0;
    const marker = `sleep ${1_000_000 + process.pid}`;
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => {
        abortedMs = performance.now();
        abort.abort(new Error('enough'));
        done();
      },
    });
    const script = `trap "" TERM INT HUP; ${marker} & echo started; ${marker}`;
    const rootfs = fixture.overlay();
    await expect(
      executor.run(fixture.spec(script, { rootfs, user: 'app' }), { stdout, signal: abort.signal }),
    ).rejects.toThrow('enough');
    expect(performance.now() - abortedMs).toBeLessThan(promisedMs(1000));
    expect(processesWith(marker)).toEqual([]);
    expect(readdirSync(rootfs.upperDir)).not.toContain('run');
  });

  it('does not begin when already aborted', async () => {
    const signal = AbortSignal.abort(new Error('before'));
    await expect(executor.run(fixture.spec('true'), { signal })).rejects.toThrow('before');
  });

  it.each(['root', 'app'])('comes with the death of the builder (%s)', async (user) => {
    const marker = `2${process.pid}${user === 'app' ? 1 : 0}`;
    const script = fileURLToPath(new URL('user-runner-child.ts', import.meta.url));
    const builder: ChildProcess = spawn(process.execPath, [script, join(fixture.dir, 'state')], {
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    const spec = fixture.spec(`sleep ${marker} & exec sleep ${marker}`, { user });
    builder.stdin?.write(`${encodeSpec(spec)}\n`);
    await until(() => processesWith(marker).length === 2);
    const dead = new Promise((resolve) => builder.once('exit', resolve));
    builder.kill('SIGKILL');
    await dead;
    await until(() => processesWith(marker).length === 0);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(fixture.dir);
  });

  it('waits for a sink that is slow', async () => {
    let received = 0;
    const slow = new Writable({
      highWaterMark: 1,
      write: (chunk: Buffer, _encoding, done) => {
        received += chunk.length;
        setImmediate(done);
      },
    });
    const status = await executor.run(fixture.spec('head -c 3000000 /dev/zero'), { stdout: slow, signal: never });
    expect([status.code, received]).toEqual([0, 3_000_000]);
  });

  it('comes with the failure of a sink', async () => {
    const broken = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) });
    const run = executor.run(fixture.spec('while echo x; do :; done'), { stdout: broken, signal: never });
    await expect(run).rejects.toThrow('disk full');
  });

  it('comes for many at a time, each with its own output and descriptors', async () => {
    await executor.run(fixture.spec('true', { network: 'host' }), { signal: never });
    const before = readdirSync('/proc/self/fd').length;
    const outputs = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const stdout = new Sink();
        await executor.run(fixture.spec(`echo ${index}; hostname`, { network: 'host' }), { stdout, signal: never });
        return stdout.bytes().toString();
      }),
    );
    expect(outputs).toEqual(Array.from({ length: 12 }, (_, index) => `${index}\nbuildkitsandbox\n`));
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
  });

  it('leaves a volatile root filesystem ready to be mounted again', async () => {
    const volatile = new EmbeddedExecutor({ stateDir: join(fixture.dir, 'state'), isVolatile: true });
    const rootfs = fixture.overlay();
    const stdout = new Sink();
    const look = 'grep -c "^overlay / .*volatile" /proc/mounts; echo x >>/kept';
    for (const _ of [1, 2]) await volatile.run(fixture.spec(look, { rootfs }), { stdout, signal: never });
    await executor.run(fixture.spec('cat /kept', { rootfs }), { stdout, signal: never });
    await volatile.close();
    expect(stdout.bytes().toString()).toBe('1\n1\nx\nx\n');
  });

  it('leaves only empty directories in the state directory', () => {
    const files = readdirSync(join(fixture.dir, 'state'), { recursive: true });
    expect(files.sort()).toEqual(['empty-a', 'empty-b', 'mount']);
  });

  it('takes a few milliseconds for /bin/true', async () => {
    const times: number[] = [];
    for (let index = 0; index < 50; index++) {
      const spec = fixture.spec('', { args: ['/bin/true'] });
      const started = performance.now();
      await executor.run(spec, { signal: never });
      times.push(performance.now() - started);
    }
    // About 5 ms on a quiet machine; the bound only catches a change of kind, and the least of many is that of a busy one, too.
    expect(Math.min(...times)).toBeLessThan(50);
  });

  itNeeding(['script'], 'gives a shell the terminal and takes it back', async () => {
    const program = fileURLToPath(new URL('terminal-child.ts', import.meta.url));
    const text = await converse(`${process.execPath} ${program} ${fixture.dir}`, [
      ['> ', 'sleep 100 &\n'],
      ['> ', "kill %1; tty; sh -c 'echo go; exec sleep 101'\n"],
      ['\ngo', '\x03'],
      ['> ', 'echo after $?; exit 5\n'],
    ]);
    expect(text).toContain('/dev/console');
    expect(text).toContain('after 130');
    expect(text).toContain('status {"code":5} foreground true');
    expect(text).not.toContain("can't access tty");
  });
});

/** Runs a command on a terminal of its own; sends each text when the one before it has been shown. */
async function converse(
  command: string,
  steps: readonly (readonly [awaited: string, sent: string])[],
): Promise<string> {
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const pending = [...steps];
  let text = '';
  let seen = 0;
  for await (const chunk of child.stdout) {
    text += String(chunk).replaceAll('\r', '');
    for (let next = pending[0]; next !== undefined; next = pending[0]) {
      const at = text.indexOf(next[0], seen);
      if (at < 0) break;
      seen = at + next[0].length;
      child.stdin.write(next[1]);
      pending.shift();
    }
  }
  return text;
}

describe('setupError', () => {
  const record = { call: 'clone', purpose: 'make namespaces', tag: 'namespaces' } as const;

  it('says what to do when namespaces are refused', () => {
    const error = setupError(record, 1);
    expect([error.code, error.message, error.hint]).toEqual([
      'TSB_SANDBOX_NAMESPACES_DENIED',
      'the sandbox could not make namespaces: clone: EPERM',
      'this process may not make namespaces: inside a container, run that container privileged',
    ]);
    expect(setupError(record, 28).hint).toBe('raise the limits user.max_*_namespaces (sysctl)');
  });

  it('says what to do about an id that is not mapped', () => {
    const error = setupError({ call: 'setresgid', purpose: 'become the user 100:101', tag: 'ids' }, 22);
    expect([error.code, error.hint]).toEqual([
      'TSB_SANDBOX_ID_NOT_MAPPED',
      'the user namespace has no such id: give yourself ranges in /etc/subuid and /etc/subgid',
    ]);
  });

  it('names the oldest kernel', () => {
    const error = setupError({ call: 'mount_setattr', purpose: 'mount /etc/hosts', tag: undefined }, 38);
    expect([error.code, error.hint]).toEqual(['TSB_SANDBOX_KERNEL_TOO_OLD', 'the sandbox needs Linux 5.12 or newer']);
  });
});
