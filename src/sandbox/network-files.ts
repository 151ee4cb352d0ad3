// The /etc/hosts and /etc/resolv.conf a step sees.
import type { NetworkMode } from '../../solver/op.ts';

/** BuildKit's hosts file for a hostname and the extra hosts of a build. */
export function hostsFile(
  hostname: string,
  extraHosts: readonly { readonly host: string; readonly ip: string }[],
): string {
  const extra = extraHosts.map(({ host, ip }) => `${ip}\t${host}\n`).join('');
  return `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n${extra}`;
}

const DEFAULT_NAMESERVERS = ['8.8.8.8', '8.8.4.4', '2001:4860:4860::8888', '2001:4860:4860::8844'];

/**
 * The host's resolv.conf, as it is where the step shares the host's network. Elsewhere servers on the loopback device
 * cannot be reached and are left out; when none remains, public ones stand in.
 */
export function resolvConf(hostText: string | undefined, network: NetworkMode): string {
  const text = hostText ?? '';
  if (network !== 'none' && text !== '') return text;
  const kept = text.split('\n').filter((line) => !/^\s*nameserver\s+(127\.|::1\s*$)/.test(line));
  const hasServer = kept.some((line) => /^\s*nameserver\s/.test(line));
  if (hasServer) return kept.join('\n');
  const body = kept.join('\n').trimEnd();
  const servers = DEFAULT_NAMESERVERS.map((server) => `nameserver ${server}\n`).join('');
  return body === '' ? servers : `${body}\n${servers}`;
}
