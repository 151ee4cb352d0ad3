// `--add-host`: lines of the /etc/hosts of steps.
import { isIP } from 'node:net';
import { quoteGo } from '../../frontend/go-text.ts';
import type { NetworkMode } from '../../solver/op.ts';
import { usageError } from './usage-error.ts';

/** A name and the address it stands for. */
export interface AddedHost {
  readonly host: string;
  readonly ip: string;
}

/** `HOST:IP`, `HOST=IP`, with an IPv6 address in brackets or bare. Throws TSB_USAGE_ADD_HOST. */
export function readAddedHost(text: string, network: NetworkMode): AddedHost {
  const at = text.indexOf(text.includes('=') ? '=' : ':');
  const [host, given] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
  if (host === '' || given === '') throw invalid(`invalid --add-host ${quoteGo(text)}: expected HOST:IP`);
  // Either would begin something else in the file.
  if (/[\s\p{Cc}#]/u.test(host)) throw invalid(`invalid host name in add-host: ${quoteGo(host)}`);
  if (given === 'host-gateway') return { host, ip: gatewayOf(text, network) };
  const ip = given.replace(/^\[(.*)\]$/s, '$1');
  if (isIP(ip) === 0 || ip.includes('%')) throw invalid(`invalid IP address in add-host: ${quoteGo(ip)}`);
  return { host, ip };
}

/** The networks that steps have of their own lead to other machines only, on purpose. */
function gatewayOf(text: string, network: NetworkMode): string {
  if (network === 'host') return '127.0.0.1';
  throw invalid(
    `invalid --add-host ${quoteGo(text)}: a network of a step's own has no address for this machine`,
    'with --network=host, host-gateway is 127.0.0.1',
  );
}

function invalid(message: string, hint?: string): Error {
  return usageError('ADD_HOST', message, hint);
}
