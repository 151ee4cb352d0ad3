// How git gets to a repository over ssh: with the agent of `--ssh`, and only to a host whose key is known.
//
// A host that the user's own known_hosts has must show a key from there. Any other is asked for its keys first, as BuildKit
// does it (ssh-keyscan), and must show one of these. Nothing of the user's ssh configuration or keys is used.
import { execFile } from 'node:child_process';
import { closeSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import type { AgentSource } from '../ops/exec-mounts.ts';
import { makeMemoryFile } from '../sys/libc.ts';

interface SSHAccessPorts {
  readonly agents: Pick<AgentSource, 'socketOf'>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

interface SSHPlace {
  /** With its port, if that is not ssh's own. */
  readonly host: string;
  readonly agentID: string;
  readonly signal: AbortSignal;
}

/** One for a build: each host is asked for its keys once. */
export class SSHAccess {
  readonly #ports: SSHAccessPorts;
  readonly #hostKeys = new Map<string, Promise<string>>();

  constructor(ports: SSHAccessPorts) {
    this.#ports = ports;
  }

  /** Runs `use` with the variables that git needs. Throws TSB_GIT_NO_AGENT, and what the agent's opening throws. */
  async with<T>(
    { host, agentID, signal }: SSHPlace,
    use: (variables: Readonly<Record<string, string>>) => Promise<T>,
  ): Promise<T> {
    const socket = await this.#ports.agents.socketOf(agentID);
    if (socket === undefined) throw noAgent(agentID);
    const keys = this.#hostKeys.get(host) ?? this.#findHostKeys(host, signal);
    this.#hostKeys.set(host, keys);
    // A file of this process's own: nothing is left of it, however that ends.
    const fd = makeMemoryFile('tsbuild-hosts');
    try {
      writeFileSync(fd, await keys);
      const knownHosts = `/proc/${process.pid}/fd/${fd}`;
      return await use({ SSH_AUTH_SOCK: socket, GIT_SSH_VARIANT: 'ssh', GIT_SSH_COMMAND: sshCommand(knownHosts) });
    } finally {
      closeSync(fd);
    }
  }

  /** Lines for a known_hosts file; none for a host that shows no key, which ssh then refuses. */
  async #findHostKeys(place: string, signal: AbortSignal): Promise<string> {
    const { host, port } = splitPort(place);
    const home = this.#ports.env['HOME'];
    const listed = port === undefined ? host : `[${host}]:${port}`;
    const known =
      home === undefined
        ? ''
        : await outputOf('ssh-keygen', ['-F', listed, '-f', join(home, '.ssh/known_hosts')], signal);
    if (known !== '') return known;
    return await outputOf('ssh-keyscan', [...(port === undefined ? [] : ['-p', port]), '--', host], signal);
  }
}

function sshCommand(knownHosts: string): string {
  const options = [
    'BatchMode=yes',
    'IdentityFile=none',
    'StrictHostKeyChecking=yes',
    'GlobalKnownHostsFile=/dev/null',
    `UserKnownHostsFile="${knownHosts}"`,
  ];
  return ['ssh', '-F', '/dev/null', ...options.map((option) => `-o '${option}'`)].join(' ');
}

/** `host:22`, `[::1]:22`. */
function splitPort(place: string): { readonly host: string; readonly port: string | undefined } {
  const [, host = place, port] = /^(.*?)(?::([0-9]+))?$/.exec(place) ?? [];
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port };
}

/** Nothing when the program fails or is missing. */
async function outputOf(program: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  return await new Promise((resolve) => {
    execFile(program, args, { signal, encoding: 'utf8' }, (error, stdout) => resolve(error === null ? stdout : ''));
  });
}

function noAgent(id: string): TsbuildError {
  return new TsbuildError('TSB_GIT_NO_AGENT', `no SSH key "${id}" forwarded from the client`, {
    hint: id === 'default' ? 'give an agent or a key with --ssh default' : `give an agent or a key with --ssh ${id}=…`,
  });
}
