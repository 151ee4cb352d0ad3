// Networks of RUN and of `tsbuild run`, by flag.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { describeCallers, makeBase, outputOf, writeContext } from './harness.ts';

const base = makeBase();
// The base has a shell and little else.
const DEVICES = 'while read -r name rest; do echo "device $name"; done </proc/net/dev';
const LISTENERS = 'while read -r _ local _ state _; do echo "socket $local $state"; done </proc/net/tcp';

describeCallers('the network of steps', { needs: ['root', 'slirp4netns', 'unshare'] }, (caller) => {
  const build = (dockerfile: string, ...flags: readonly string[]) => {
    const context = writeContext(caller, { Dockerfile: `FROM base\n${dockerfile}\n` });
    const from = ['--build-context', `base=oci-layout://${base}`, '--progress=plain', '--no-cache', '-t', 'net:1'];
    const result = caller.tsbuild(['build', ...from, ...flags, context]);
    expect(result.status, outputOf(result)).toBe(0);
    return outputOf(result);
  };
  const devicesOf = (text: string) => [...text.matchAll(/device (\w+):$/gm)].map(([, name]) => name);

  it('is one of its own unless it says otherwise', () => {
    expect(devicesOf(build(`RUN ${DEVICES}`))).toEqual(['lo', 'tap0']);
    expect(devicesOf(build(`RUN --network=none ${DEVICES}`))).toEqual(['lo']);
    expect(devicesOf(build(`RUN ${DEVICES}`, '--network=none'))).toEqual(['lo']);
    const shared = devicesOf(build(`RUN ${DEVICES}`, '--network=host'));
    expect(shared).toContain('lo');
    expect(shared).not.toContain('tap0');
    expect(devicesOf(build(`RUN --network=host ${DEVICES}`, '--allow', 'network.host'))).toEqual(shared);
    expect(devicesOf(build(`RUN --network=default ${DEVICES}`, '--network=host'))).toEqual(shared);
  });

  it('of tsbuild run follows its flag', () => {
    const devices = (...flags: readonly string[]) =>
      devicesOf(caller.tsbuild(['run', ...flags, 'net:1', 'sh', '-c', DEVICES]).stdout);
    expect(devices()).toEqual(['lo', 'tap0']);
    expect(devices('--network=none')).toEqual(['lo']);
    expect(devices('--network=host')).not.toContain('tap0');
  });

  it('leaves what listens on this machine’s loopback out of reach', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const socket = `socket 0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 0A`;
    expect(build(`RUN ${LISTENERS}`)).not.toContain(`${socket}\n`);
    expect(build(`RUN ${LISTENERS}`, '--network=host')).toContain(`${socket}\n`);
    await new Promise((resolve) => server.close(resolve));
  });
});
