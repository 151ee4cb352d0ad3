// Reasons that come from other stages, other platforms, and what became of results.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { itNeeding } from '../needs.ts';
import { describeRoot, makeBase, outputOf, REGISTRY, writeContext } from './harness.ts';
import { ran } from './ran-steps.ts';
import { expectNothingLeft, startBuild, stopWith } from './running-build.ts';

const base = makeBase();
const HOST_ARCH = process.arch === 'arm64' ? 'arm64' : 'amd64';
const FILES = { 'one.txt': '1\n', 'two.txt': '2\n' };

describeRoot('explained misses of stages and results', {}, (caller) => {
  const build = (context: string, flags: readonly string[]) => {
    const args = ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context];
    const result = caller.tsbuild(args);
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  };

  it.each([
    ['owner', 'COPY --chown=1:2 one.txt /d/f', 'd/f changed (owner 0:0 -> 1:2)'],
    ['mode', 'COPY --chmod=600 one.txt /d/f', 'd/f changed (mode 0644 -> 0600)'],
    ['bytes', 'RUN echo y > /d/f', 'd/f changed (content)'],
    ['type', 'RUN rm /d/f && mkdir /d/f', 'd/f changed (type file -> dir)'],
    ['time', 'RUN touch -d @0 /d/f', undefined],
  ])('a file of another stage: its %s', (_, step, why) => {
    const context = writeContext(caller, FILES);
    const dockerfile = (last: string): string =>
      `FROM base AS made\nCOPY --chmod=644 one.txt /d/f\n${last}\nFROM scratch\nCOPY --from=made /d /d\n`;
    writeFileSync(join(context, 'Dockerfile'), dockerfile('RUN true'));
    build(context, []);
    writeFileSync(join(context, 'Dockerfile'), dockerfile(step));
    const { [step]: _step, ...others } = ran(build(context, []));
    expect(others).toEqual(why === undefined ? {} : { 'COPY --from=made /d /d': why });
  });

  it('a file whose name would steer a terminal', () => {
    const name = 'a\x1b[2Jb\nc';
    const context = writeContext(caller, { Dockerfile: 'FROM base\nCOPY . /d\n', [name]: '1' });
    build(context, []);
    writeFileSync(join(context, name), '2');
    build(context, []);
    expect(caller.tsbuild(['explain']).stdout).toContain('a\\x1b[2Jb');
    expect(caller.tsbuild(['explain', '--json']).stdout).toContain('a\\u001b[2Jb\\nc');
  });

  const edit = (context: string, text: string): Readonly<Record<string, string>> => {
    writeFileSync(join(context, 'Dockerfile'), text);
    return ran(build(context, []));
  };

  it.each([
    ['a working directory', 'WORKDIR /ww'],
    ['the step that was changed', 'USER 0\nRUN --mount=type=tmpfs,target=/t echo second'],
  ])('a step inserted before %s, after another was changed', (_, anchor) => {
    const context = writeContext(caller, {});
    const dockerfile = (text: string): string =>
      `FROM base\nRUN echo kept\nWORKDIR /ww\nUSER 0\nRUN --mount=type=tmpfs,target=/t echo ${text}\n`;
    edit(context, dockerfile('first'));
    edit(context, dockerfile('second'));
    const runs = edit(context, dockerfile('second').replace(anchor, `RUN echo inserted\n${anchor}`));
    expect(runs['RUN echo inserted']).toBe('new step');
  });

  it('a step inserted before a working directory, while a later one is changed', () => {
    const context = writeContext(caller, {});
    const last = 'RUN --mount=type=tmpfs,target=/t echo';
    edit(context, `FROM base\nRUN echo stays\nWORKDIR /ww\nUSER 0\n${last} 1\n`);
    const runs = edit(context, `FROM base\nRUN echo stays\nRUN echo between\nWORKDIR /ww\nUSER 0\n${last} 2\n`);
    expect(runs).toEqual({
      'RUN echo between': 'new step',
      'WORKDIR /ww': '[stage-0 2/5] RUN echo between ran',
      [`${last} 2`]: `instruction changed: ${last} 1 -> ${last} 2; [stage-0 3/5] WORKDIR /ww ran`,
    });
  });

  it('the id of a cache mount, which is no part of the key, is no reason', () => {
    const context = writeContext(caller, {});
    const step = (id: string): string => `RUN --mount=type=cache,id=${id},target=/c echo x`;
    edit(context, `FROM base\nENV A=1\n${step('ex2')}\n`);
    expect(edit(context, `FROM base\nENV A=1\n${step('ex3')}\n`)).toEqual({});
    expect(edit(context, `FROM base\nENV A=2\n${step('ex3')}\n`)).toEqual({ [step('ex3')]: 'env A changed: 1 -> 2' });
  });

  it('another platform, for a stage that is run here', () => {
    const context = writeContext(caller, FILES);
    writeFileSync(
      join(context, 'Dockerfile'),
      'FROM --platform=$BUILDPLATFORM base AS made\nCOPY one.txt /\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\n' +
        'FROM scratch\nCOPY two.txt /\nCOPY --from=made /arch /\n',
    );
    build(context, []);
    const other = HOST_ARCH === 'arm64' ? 'amd64' : 'arm64';
    expect(ran(build(context, ['--platform', `linux/${other}`]))).toEqual({
      [`RUN echo ${other} > /arch`]: `build arg TARGETARCH changed: ${HOST_ARCH} -> ${other}`,
      'COPY --from=made /arch /': 'arch changed (content)',
    });
  });

  it('an evicted result, and a step that failed', () => {
    const store = join(caller.home, 'evicted-store');
    const context = writeContext(caller, FILES);
    const run = (...flags: string[]) => {
      const args = ['build', '--progress=plain', '--build-context', `base=oci-layout://${base}`, ...flags, context];
      return outputOf(caller.tsbuild(args, { store }));
    };
    writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY one.txt /\nRUN echo one\nARG CODE=1\nRUN exit $CODE\n');
    expect(ran(run())).toEqual({ 'COPY one.txt /': 'no reason', 'RUN echo one': 'no reason' });
    expect(run()).toContain('why: it failed the last time\n');
    expect(ran(run('--build-arg', 'CODE=0'))).toEqual({
      'RUN exit 0': 'instruction changed: RUN exit 1 -> RUN exit 0',
    });
    expect(run('--build-arg', 'CODE=0')).not.toContain('why');
    caller.tsbuild(['prune', '--all'], { store });
    const evicted = 'its result was evicted';
    const after = ran(run('--build-arg', 'CODE=0'));
    // The failed step is kept, and what it stands on.
    expect(after).toEqual({ 'COPY one.txt /': evicted, 'RUN echo one': evicted, 'RUN exit 0': evicted });
  });

  it('a step that was running when its build was killed', async () => {
    const store = join(caller.home, 'killed-store');
    const context = writeContext(caller, {
      Dockerfile:
        'FROM base\nARG R=1\nRUN echo before $R\n' +
        'RUN --mount=type=secret,id=wait if [ "$(cat /run/secrets/wait)" = yes ]; then echo begun; sleep 7301; fi\nRUN echo after\n',
    });
    const argsFor = (value: string): string[] => {
      const from = ['--build-context', `base=oci-layout://${base}`];
      return [
        'build',
        '--progress=plain',
        ...from,
        '--secret',
        'id=wait,env=WAIT',
        '--build-arg',
        `R=${value}`,
        context,
      ];
    };
    const kill = async (value: string): Promise<void> => {
      const env = { WAIT: 'yes', TSBUILD_ROOT: store };
      const hasBegun = ({ text }: { readonly text: string }): boolean => / begun$/m.test(text);
      const running = await startBuild(caller, argsFor(value), { env, hasBegun });
      await stopWith(running, 'SIGKILL');
      await expectNothingLeft(running, caller);
    };
    const reasonsAfter = (value: string): readonly string[] => {
      const result = caller.tsbuild(argsFor(value), { store, env: { WAIT: 'no' } });
      expect(result.status, outputOf(result)).toBe(0);
      return Object.values(ran(outputOf(result)));
    };
    await kill('1');
    expect(reasonsAfter('1')).toEqual(['it did not end the last time', 'new step']);
    await kill('3');
    expect(reasonsAfter('3')[0]).toBe('it did not end the last time');
    await kill('4');
    const steps = JSON.parse(caller.tsbuild(['history', 'inspect', '--json'], { store }).stdout).steps;
    expect(steps.at(-1)).toMatchObject({ status: 'interrupted' });
  });

  itNeeding(['lab'], 'a base image that a build arg names', () => {
    const store = join(caller.home, 'named-store');
    const [busybox = '', alpine = ''] = ['busybox', 'alpine'].map((name) => `${REGISTRY}/library/${name}:latest`);
    const context = writeContext(caller, FILES);
    const why = (from: string, ...flags: string[]) => {
      const args = `ARG NAME=busybox\nARG BASE=${REGISTRY}/library/$NAME\n`;
      writeFileSync(join(context, 'Dockerfile'), `${args}FROM ${from}\nRUN echo one\nRUN echo two\n`);
      const result = caller.tsbuild(['build', '--progress=plain', ...flags, context], { store });
      expect(result.status, outputOf(result)).toBe(0);
      return ran(outputOf(result));
    };
    why('$BASE');
    expect(why('$BASE', '--build-arg', 'NAME=alpine')).toEqual({
      'RUN echo one': `base image changed: ${busybox} -> ${alpine} (build arg NAME)`,
      'RUN echo two': '[2/3] RUN echo one ran',
    });
    expect(caller.tsbuild(['explain'], { store }).stdout).toContain(`${alpine} (build arg NAME)\n`);
    why('$BASE', '--no-cache');
    expect(caller.tsbuild(['prune', '--all'], { store }).status).toBe(0);
    expect(why(alpine)['RUN echo one']).toBe(`base image changed: ${busybox} -> ${alpine}`);
  });
});
