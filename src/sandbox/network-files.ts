// The /etc/hosts and /etc/resolv.conf a step sees.
import { readFileSync } from 'node:fs';
import type { StepNetwork } from './network-pool.ts';

/** What of a step's network matters to its resolver; `nameserver` answers inside of it, and carries IPv4 alone. */
type ResolverView = Pick<StepNetwork, 'mode' | 'nameserver'>;

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
 * cannot be reached and are left out; when none remains that can, the network's own stands in, or public ones.
 */
export function resolvConf(hostText: string | undefined, { mode, nameserver }: ResolverView): string {
  const text = hostText ?? '';
  if (mode === 'host' && text !== '') return text;
  const kept = text.split('\n').filter((line) => !/^\s*nameserver\s+(127\.|::1\s*$)/.test(line));
  const reachable = nameserver === undefined ? /^\s*nameserver\s/ : /^\s*nameserver\s+[\d.]+\s*$/;
  if (kept.some((line) => reachable.test(line))) return kept.join('\n');
  const body = kept.join('\n').trimEnd();
  const others = nameserver === undefined ? DEFAULT_NAMESERVERS : [nameserver];
  const servers = others.map((server) => `nameserver ${server}\n`).join('');
  return body === '' ? servers : `${body}\n${servers}`;
}

/** What this machine resolves with. */
export function hostResolvConf(): string | undefined {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8');
  } catch {
    return undefined; // A machine without a resolver is a machine all the same.
  }
}
