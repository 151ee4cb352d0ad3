import { describe, expect, it } from 'vitest';
import { hostsFile, resolvConf } from '../../src/sandbox/network-files.ts';

describe('hostsFile', () => {
  it('is what BuildKit writes', () => {
    expect(hostsFile('buildkitsandbox', [{ host: 'db', ip: '10.0.0.1' }])).toBe(
      '127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.1\tdb\n',
    );
  });
});

describe('resolvConf', () => {
  const joined = { mode: 'joined', nameserver: '10.0.2.3' } as const;
  const host = 'search lan\nnameserver 127.0.0.53\nnameserver 10.0.0.2\n';

  it("is the host's in the host's network", () => {
    expect(resolvConf(host, { mode: 'host' })).toBe(host);
  });

  it('leaves loopback servers out elsewhere', () => {
    expect(resolvConf(host, { mode: 'none' })).toBe('search lan\nnameserver 10.0.0.2\n');
    expect(resolvConf(host, joined)).toBe('search lan\nnameserver 10.0.0.2\n');
  });

  it('falls back on public servers', () => {
    expect(resolvConf('search lan\nnameserver ::1\n', { mode: 'none' })).toMatch(
      /^search lan\nnameserver 8\.8\.8\.8\n/,
    );
    expect(resolvConf(undefined, { mode: 'host' })).toMatch(/^nameserver 8\.8\.8\.8\n/);
  });

  it("falls back on the network's own server, also where only IPv6 remains", () => {
    expect(resolvConf('search lan\nnameserver 127.0.0.53\n', joined)).toBe('search lan\nnameserver 10.0.2.3\n');
    expect(resolvConf('nameserver fd00::1\n', joined)).toBe('nameserver fd00::1\nnameserver 10.0.2.3\n');
    expect(resolvConf(undefined, joined)).toBe('nameserver 10.0.2.3\n');
  });
});
