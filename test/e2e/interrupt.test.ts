// Ctrl-C and SIGTERM in the middle of things: a quick end, nothing left over, and finished steps kept.
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Controller, readCgroupHost } from '../../src/sandbox/cgroup-host.ts';
import { itNeeding } from '../needs.ts';
import { promisedMs } from '../promised-time.ts';
import { descendants, processes } from '../sandbox/process-tree.ts';
import { processesNaming } from './processes-naming.ts';
import { describeRoot, makeBase, outputOf, REGISTRY, writeContext } from './harness.ts';

const base = makeBase();
const KEPT = 'finished steps are kept (again to stop at once)';
const PROMISED_MS = 1000;

const MEMORY_CGROUPS = {
  name: 'cgroups with memory and pids',
  isHere: !['memory', 'pids'].some((name) => readCgroupHost().missing.has(name as Controller)),
};

/** Cgroups of a process's steps that exist now. */
function cgroupsOf(pid: number): readonly string[] {
  const dirs = [...new Set([...readCgroupHost().usable.values()].map(({ dir }) => dir))];
  return dirs.flatMap((dir) => readdirSync(dir).filter((name) => name.startsWith(`tsbuild-${pid}-`)));
}

interface Ended {
  readonly code: number | null;
  readonly text: string;
  readonly tookMs: number;
}

describeRoot('an interrupt', {}, (caller) => {
  const argsFor = (context: string): string[] => [
    'build',
    '--progress=plain',
    '-t',
    'stopped:1',
    '--build-context',
    `base=oci-layout://${base}`,
    context,
  ];

  /** Starts the build in a process group of its own; once the text is there, `act` is called. Waits for all it started. */
  const run = (
    context: string,
    awaited: RegExp,
    act: (child: ChildProcess, text: string) => void,
    flags: readonly string[] = [],
  ): Promise<Ended> => {
    const [node = '', script = ''] = caller.command;
    const child = spawn(node, [script, ...argsFor(context), ...flags], {
      detached: true,
      env: { ...process.env, TSBUILD_ROOT: join(caller.home, 'store') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    let actedMs = 0;
    let below: readonly number[] = [];
    const take = (chunk: Buffer): void => {
      text += chunk;
      if (actedMs > 0 || !awaited.test(text)) return;
      below = descendants(child.pid ?? 0);
      actedMs = performance.now();
      act(child, text);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    return new Promise((resolve) =>
      child.on('close', async (code) => {
        while (below.some((pid) => processes().has(pid))) await new Promise((again) => setTimeout(again, 5));
        resolve({ code, text, tookMs: performance.now() - actedMs });
      }),
    );
  };

  const signalGroup = (signal: NodeJS.Signals) => (child: ChildProcess) => process.kill(-(child.pid ?? 0), signal);
  const signalOne = (signal: NodeJS.Signals) => (child: ChildProcess) => child.kill(signal);

  const expectStopped = ({ code, text, tookMs }: Ended, signal: string): void => {
    expect(text).toContain(`\n${signal}: stopping the build; ${KEPT}\n`);
    expect(text).toContain(`error: interrupted by ${signal}\n`);
    expect(code).toBe(130);
    expect(tookMs).toBeLessThan(promisedMs(PROMISED_MS));
    expect(processesNaming(caller.home)).toEqual([]);
    expect(readdirSync(join(caller.home, 'store', 'tmp')).filter((name) => /^\d+-/.test(name))).toEqual([]);
    expect(caller.tsbuild(['images']).stdout).not.toContain('stopped');
  };

  it.each([
    { how: 'SIGINT to the process group', signal: 'SIGINT', act: signalGroup('SIGINT') },
    { how: 'SIGINT to the command', signal: 'SIGINT', act: signalOne('SIGINT') },
    { how: 'SIGTERM to the process group', signal: 'SIGTERM', act: signalGroup('SIGTERM') },
    { how: 'SIGTERM to the command', signal: 'SIGTERM', act: signalOne('SIGTERM') },
  ])('by $how ends a RUN that ignores signals, and keeps the steps before it', async ({ how, signal, act }) => {
    const context = writeContext(caller, {
      Dockerfile: `FROM base\nRUN echo ${how} > /done\nRUN trap '' INT TERM; echo begun; sleep 77; sleep 77\n`,
    });
    expectStopped(await run(context, /^#\d+ [\d.]+ begun$/m, act), signal);
    const again = await run(context, /^#\d+ [\d.]+ begun$/m, act);
    expect(again.text).toMatch(/\[1\/3\] RUN echo .*\n(#\d+ why: .*\n)?#\d+ CACHED/);
  });

  itNeeding([MEMORY_CGROUPS], 'leaves no cgroup of a step with limits', async () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo begun; sleep 77\n' });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      let pid = 0;
      const stop = (child: ChildProcess): void => {
        pid = child.pid ?? 0;
        expect(cgroupsOf(pid)).not.toEqual([]);
        child.kill(signal);
      };
      const ended = await run(context, /^#\d+ [\d.]+ begun$/m, stop, ['-m', '100m', '--pids-limit', '50']);
      expect({ code: ended.code, left: cgroupsOf(pid) }).toEqual({ code: 130, left: [] });
    }
  });

  it('ends a COPY of many files', async () => {
    const files = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`d${n % 20}/f${n}`, `${n}`]));
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY . /files\n', ...files });
    const ended = await run(context, /\[internal\] load build context/, signalOne('SIGINT'));
    expectStopped(ended, 'SIGINT');
    expect(ended.text).not.toMatch(/COPY \. \/files\n(#\d+ why: .*\n)?#\d+ DONE/);
    const named = argsFor(context).map((text) => text.replace('stopped', 'whole'));
    expect(outputOf(caller.tsbuild(named))).toMatch(/COPY \. \/files\n(#\d+ why: .*\n)?#\d+ DONE/);
  });

  it('ends a COPY of a large file', async () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY big /big\n' });
    caller.run('truncate', ['-s', '3G', join(context, 'big')]);
    expectStopped(await run(context, /\[internal\] load build context/, signalOne('SIGTERM')), 'SIGTERM');
  });

  it('ends at once when it comes twice', async () => {
    const context = writeContext(caller, { Dockerfile: 'FROM base\nRUN echo begun; sleep 77\n' });
    const ended = await run(context, /^#\d+ [\d.]+ begun$/m, (child) => {
      child.kill('SIGINT');
      child.stderr?.on('data', () => child.kill('SIGINT'));
    });
    expect(ended.code).toBe(130);
    expect(ended.tookMs).toBeLessThan(promisedMs(PROMISED_MS));
    expect(processesNaming(caller.home)).toEqual([]);
  });

  itNeeding(['lab'], 'ends a pull, which goes on where it was', async () => {
    await using slow = await slowRegistry();
    const name = `127.0.0.1:${slow.port}/library/debian:bookworm`;
    const context = writeContext(caller, { Dockerfile: `FROM ${name}\nRUN true\n` });
    const ended = await run(context, /resolve|extracting|FROM/, (child) => slow.whenServed(() => child.kill('SIGINT')));
    expect(ended.text).toContain(KEPT);
    expect(ended.code).toBe(130);
    expect(caller.tsbuild(['images']).stdout).not.toContain('debian');
    const partial = readdirSync(join(caller.home, 'store', 'tmp')).filter((file) => file.endsWith('.partial'));
    expect(partial).toHaveLength(1);
    slow.speedUp();
    const again = await run(context, /exporting/, () => {});
    expect(again.code, again.text).toBe(0);
    expect(slow.ranges.some((range) => /^bytes=[1-9]\d*-/.test(range))).toBe(true);
  });
});

/** The lab's registry behind a proxy that, until `speedUp`, stops in the middle of every large answer. */
async function slowRegistry() {
  let isSlow = true;
  let onServed = (): void => {};
  const ranges: string[] = [];
  const server: Server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (incoming.headers.range !== undefined) ranges.push(incoming.headers.range);
    const upstream = request(
      `http://${REGISTRY}${incoming.url}`,
      { method: incoming.method ?? 'GET', headers: incoming.headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        let sent = 0;
        answer.on('data', (chunk: Buffer) => {
          sent += chunk.length;
          outgoing.write(chunk);
          if (!isSlow || sent < 1 << 20) return;
          answer.pause();
          onServed();
        });
        answer.on('end', () => outgoing.end());
      },
    );
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' ? address?.port : undefined,
    ranges,
    whenServed: (action: () => void) => {
      onServed = action;
    },
    speedUp: () => {
      isSlow = false;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
