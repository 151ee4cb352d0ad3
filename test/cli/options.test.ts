import { describe, expect, it } from 'vitest';
import { normaliseBuildOptions, type RawBuildFlags } from '../../src/cli/options.ts';

const read = (flags: RawBuildFlags, env: NodeJS.ProcessEnv = {}) => normaliseBuildOptions('.', flags, env);

describe('build options', () => {
  it('takes a build argument from the flag, else from the environment, else leaves it out', () => {
    const options = read({ buildArg: ['A=1', 'B', 'C', 'D=', 'E=x=y'] }, { B: 'env' });
    expect(options.buildArgs).toEqual({ A: '1', B: 'env', D: '', E: 'x=y' });
  });

  it('reads networks, hosts, limits, sizes and stages', () => {
    const options = read({
      network: 'none',
      addHost: ['db:10.0.0.1', 'v6=[::1]'],
      ulimit: ['nofile=1024:2048', 'core=0'],
      shmSize: '64m',
      noCacheFilter: ['a,b', 'c'],
    });
    expect(options).toMatchObject({
      network: 'none',
      addHosts: [
        { host: 'db', ip: '10.0.0.1' },
        { host: 'v6', ip: '::1' },
      ],
      ulimits: [
        { name: 'nofile', soft: 1024, hard: 2048 },
        { name: 'core', soft: 0, hard: 0 },
      ],
      shmSizeBytes: 64 * 1024 * 1024,
      noCacheStages: ['a', 'b', 'c'],
    });
  });

  it.each([
    ['', 'it names no stage and no line'],
    ['Dockerfile:', 'no line is named after the colon'],
    ['Dockerfile:x', '"x" is no number of a line'],
    ['Dockerfile:-1', '"-1" is no number of a line'],
    [':5', 'no Dockerfile is named before the colon'],
  ])('refuses --no-cache-filter %j', (text, fact) => {
    const expected = { code: 'TSB_USAGE_NO_CACHE_FILTER', exitCode: 2, hint: 'write STAGE or Dockerfile:LINE' };
    for (const filter of [text, `build,${text}`]) {
      expect(() => read({ noCacheFilter: [filter] })).toThrow(
        expect.objectContaining({ ...expected, message: `invalid --no-cache-filter "${text}": ${fact}` }),
      );
    }
  });

  it('reads secrets from files and variables', () => {
    const options = read({ secret: ['id=a,src=/f', 'id=b,env=B', 'id=C', 'id=d'] }, { C: 'value' });
    expect(options.secrets).toEqual([
      { id: 'a', from: { file: '/f' } },
      { id: 'b', from: { env: 'B' } },
      { id: 'C', from: { env: 'C' } },
      { id: 'd', from: { file: 'd' } },
    ]);
  });

  it('reads platforms, agents and entitlements', () => {
    const options = read({ platform: 'linux/amd64,linux/arm64', ssh: ['default', 'a=/x,/y'], network: 'host' });
    expect(options.platforms).toEqual(['linux/amd64', 'linux/arm64']);
    expect(options.agents).toEqual([
      { id: 'default', paths: [] },
      { id: 'a', paths: ['/x', '/y'] },
    ]);
    expect([...options.allowed]).toEqual(['network.host']);
    expect(read({}, { DOCKER_DEFAULT_PLATFORM: 'linux/arm64' }).platforms).toEqual(['linux/arm64']);
  });

  it('takes host-gateway for this machine where steps share its network', () => {
    const options = read({ network: 'host', addHost: ['me:host-gateway', 'v4=[10.0.0.1]'] });
    expect(options.addHosts).toEqual([
      { host: 'me', ip: '127.0.0.1' },
      { host: 'v4', ip: '10.0.0.1' },
    ]);
  });

  it.each<[RawBuildFlags, string]>([
    [{ buildArg: ['=x'] }, 'invalid --build-arg "=x": expected NAME=VALUE or NAME'],
    [{ buildContext: ['x'] }, 'invalid --build-context "x": expected NAME=VALUE'],
    [{ network: 'bridge' }, 'invalid --network "bridge": expected default, host or none'],
    [{ progress: 'loud' }, 'invalid --progress "loud": expected auto, tty, plain or quiet'],
    [{ allow: ['x'] }, 'invalid --allow "x": expected network.host or security.insecure'],
    [{ ssh: ['=/socket'] }, 'invalid --ssh "=/socket": expected default, ID=SOCKET or ID=KEY'],
    [{ addHost: ['x'] }, 'invalid --add-host "x": expected HOST:IP'],
    [{ addHost: ['foo:notip'] }, 'invalid IP address in add-host: "notip"'],
    [{ addHost: ['foo:999.1.1.1'] }, 'invalid IP address in add-host: "999.1.1.1"'],
    [{ addHost: ['foo:1.2.3'] }, 'invalid IP address in add-host: "1.2.3"'],
    [{ addHost: ['foo:1.2.3.4 evil'] }, 'invalid IP address in add-host: "1.2.3.4 evil"'],
    [{ addHost: ['foo:1.2.3.4\n5.6.7.8 bar'] }, 'invalid IP address in add-host: "1.2.3.4\\n5.6.7.8 bar"'],
    [{ addHost: ['foo:fe80::1%eth0'] }, 'invalid IP address in add-host: "fe80::1%eth0"'],
    [{ addHost: ['foo bar:1.2.3.4'] }, 'invalid host name in add-host: "foo bar"'],
    [{ addHost: ['a\n6.6.6.6\tb=1.2.3.4'] }, 'invalid host name in add-host: "a\\n6.6.6.6\\tb"'],
    [{ addHost: ['a#b:1.2.3.4'] }, 'invalid host name in add-host: "a#b"'],
    [
      { addHost: ['me:host-gateway'] },
      'invalid --add-host "me:host-gateway": a network of a step\'s own has no address for this machine',
    ],
    [{ ulimit: ['nofile'] }, 'invalid --ulimit "nofile": expected NAME=SOFT[:HARD]'],
    [{ ulimit: ['foo=1'] }, 'invalid --ulimit "foo=1": there is no limit "foo"'],
    [{ ulimit: ['nofile=-2'] }, 'invalid --ulimit "nofile=-2": expected NAME=SOFT[:HARD]'],
    [{ ulimit: ['nofile=2:1'] }, 'invalid --ulimit "nofile=2:1": the soft limit is above the hard one'],
    [{ shmSize: 'much' }, 'invalid --shm-size "much": expected a size such as 64m'],
    [{ secret: ['src=x'] }, 'invalid --secret: id is missing'],
    [{ secret: ['id=x,file=y'] }, 'invalid --secret: unexpected key "file"'],
  ])('refuses %j', (flags, message) => {
    expect(() => read(flags)).toThrow(expect.objectContaining({ message, exitCode: 2 }));
  });
});
