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
  const host = 'search lan\nnameserver 127.0.0.53\nnameserver 10.0.0.2\n';

  it("is the host's in the host's network", () => {
    expect(resolvConf(host, 'host')).toBe(host);
    expect(resolvConf(host, 'sandbox')).toBe(host);
  });

  it('leaves loopback servers out elsewhere', () => {
    expect(resolvConf(host, 'none')).toBe('search lan\nnameserver 10.0.0.2\n');
  });

  it('falls back on public servers', () => {
    expect(resolvConf('search lan\nnameserver ::1\n', 'none')).toMatch(/^search lan\nnameserver 8\.8\.8\.8\n/);
    expect(resolvConf(undefined, 'host')).toMatch(/^nameserver 8\.8\.8\.8\n/);
  });
});
