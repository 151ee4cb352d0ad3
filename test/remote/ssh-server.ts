// A real sshd on a port of its own, and a real agent with the one key that it lets in.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../registry/registry-rig.ts';

const SSHD = '/usr/sbin/sshd';

/** What the tests that start an SSHServer need. */
export const SSH = ['root', SSHD, 'ssh', 'ssh-agent', 'ssh-add', 'ssh-keyscan', 'setpriv'];

/** Call `listen` first and `close` at the end. */
export class SSHServer {
  readonly directory = mkdtempSync(join(tmpdir(), 'tsbuild-sshd-'));
  /** Of the agent. */
  readonly socket = join(this.directory, 'agent.sock');
  readonly user = userInfo().username;
  #port = 0;
  readonly #children: ChildProcess[] = [];

  async listen(): Promise<void> {
    this.#port = await freePort();
    // Where sshd locks itself in.
    mkdirSync('/run/sshd', { recursive: true });
    for (const name of ['host', 'user']) this.makeKey(name);
    writeFileSync(join(this.directory, 'authorized'), readFileSync(join(this.directory, 'user.pub')));
    writeFileSync(join(this.directory, 'config'), this.#config());
    this.#spawn(SSHD, '-D', '-e', '-f', join(this.directory, 'config'));
    this.#spawn('ssh-agent', '-D', '-a', this.socket);
    for (let tries = 0; tries < 400 && !(await answers({ port: this.#port, host: '127.0.0.1' })); tries++)
      await sleep(25);
    for (let tries = 0; tries < 400 && !(await answers({ path: this.socket })); tries++) await sleep(25);
    execFileSync('ssh-add', ['-q', join(this.directory, 'user')], {
      env: { ...process.env, SSH_AUTH_SOCK: this.socket },
      stdio: 'ignore',
    });
  }

  close(): void {
    for (const child of this.#children) child.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** As known_hosts names it. */
  get listedHost(): string {
    return `[127.0.0.1]:${this.#port}`;
  }

  /** Of a repository on this machine. */
  url(path: string): string {
    return `ssh://${this.user}@${this.host}${path}`;
  }

  /** Makes a key pair of that name in the directory; its public half. */
  makeKey(name: string): string {
    const path = join(this.directory, name);
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path]);
    return readFileSync(`${path}.pub`, 'utf8');
  }

  /** The public half of the host's key. */
  hostKey(): string {
    return readFileSync(join(this.directory, 'host.pub'), 'utf8');
  }

  #config(): string {
    return [
      `Port ${this.#port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${join(this.directory, 'host')}`,
      `AuthorizedKeysFile ${join(this.directory, 'authorized')}`,
      'PidFile none',
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'PermitRootLogin yes',
      '',
    ].join('\n');
  }

  /** It ends with this process, whatever ends that. */
  #spawn(program: string, ...args: readonly string[]): void {
    this.#children.push(spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], { stdio: 'ignore' }));
  }
}

function answers(
  place: { readonly port: number; readonly host: string } | { readonly path: string },
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(place, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
