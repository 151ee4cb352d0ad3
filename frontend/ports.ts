// The words of EXPOSE: `[[ip:]hostPort:]port[-port][/proto]`, read as BuildKit reads them; only the container's side counts.
import { TsbuildError } from '../solver/errors.ts';

const PROTOCOLS: ReadonlySet<string> = new Set(['tcp', 'udp', 'sctp']);
const MAX_PORT = 65535;

/** The ports a word names, each as `80/tcp`, ranges spelled out. Throws TSB_DOCKERFILE_PORT_INVALID. */
export function parsePorts(word: string): readonly string[] {
  const { ip, hostPort, containerPort } = splitWord(word);
  const { port, protocol } = splitProtocol(containerPort, word);
  if (ip !== '' && !isIPAddress(ip)) throw invalid(`invalid IP address: ${ip}`);
  const range = parseRange(port);
  if (range === undefined) throw invalid(`invalid containerPort: ${port}`);
  if (hostPort !== '') checkHostPort(hostPort, port, range);
  return Array.from({ length: range.last - range.first + 1 }, (_unused, n) => `${range.first + n}/${protocol}`);
}

interface PortRange {
  readonly first: number;
  readonly last: number;
}

function splitWord(word: string): { readonly ip: string; readonly hostPort: string; readonly containerPort: string } {
  const parts = word.split(':');
  const containerPort = parts.at(-1) ?? '';
  const hostPort = parts.length > 1 ? (parts.at(-2) ?? '') : '';
  return { ip: parts.slice(0, -2).join(':'), hostPort, containerPort };
}

function splitProtocol(text: string, word: string): { readonly port: string; readonly protocol: string } {
  const slash = text.indexOf('/');
  const port = slash < 0 ? text : text.slice(0, slash);
  const protocol = slash < 0 ? '' : text.slice(slash + 1).toLowerCase();
  if (port === '') throw invalid(`invalid port: "${word}": no port specified: ${text}<empty>`);
  if (protocol !== '' && !PROTOCOLS.has(protocol)) throw invalid(`invalid port: "${word}": invalid proto: ${protocol}`);
  return { port, protocol: protocol === '' ? 'tcp' : protocol };
}

function checkHostPort(hostPort: string, port: string, range: PortRange): void {
  const host = parseRange(hostPort);
  if (host === undefined) throw invalid(`invalid hostPort: ${hostPort}`);
  const isSameLength = range.last - range.first === host.last - host.first;
  if (!isSameLength && range.first !== range.last) {
    throw invalid(`invalid ranges specified for container and host Ports: ${port} and ${hostPort}`);
  }
}

function parseRange(text: string): PortRange | undefined {
  const numbers = text.split('-').map(parsePort);
  const [first, last = first] = numbers;
  if (numbers.length > 2 || first === undefined || last === undefined || last < first) return undefined;
  return { first, last };
}

function parsePort(text: string): number | undefined {
  const port = Number(text);
  return /^[0-9]+$/.test(text) && port <= MAX_PORT ? port : undefined;
}

function isIPAddress(text: string): boolean {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  const isV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/.test(bare) && bare.split('.').every((part) => Number(part) <= 255);
  return isV4 || (bare.includes(':') && /^[0-9a-fA-F:.]+$/.test(bare));
}

function invalid(message: string): TsbuildError {
  return new TsbuildError('TSB_DOCKERFILE_PORT_INVALID', message, {
    hint: 'write a port as number[-number][/tcp|udp|sctp]',
  });
}
