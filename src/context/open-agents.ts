// The ssh agents of `--ssh`: the user's own, or one started for the build with the keys that were named.
import { type ChildProcess, execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { TsbuildError } from '../../solver/errors.ts';
import type { AgentOption } from '../cli/options.ts';
import type { AgentSource } from '../ops/exec-mounts.ts';
import { spawnTied } from '../sys/tied-shell.ts';

/** Ends the agents that were started. */
export interface OpenedAgents extends Pick<AgentSource, 'socketOf'> {
  close(): void;
}

interface AgentPlace {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

interface StartedAgent {
  readonly socket: string;
  close(): void;
}

/** Nothing is looked at or started before a step asks. Throws TSB_SSH_SOCKET, TSB_SSH_KEY. */
export function openAgents(options: readonly AgentOption[], place: AgentPlace): OpenedAgents {
  const sockets = new Map<string, Promise<string>>();
  const started: StartedAgent[] = [];
  const open = async (option: AgentOption): Promise<string> => {
    const [first] = option.paths;
    if (first === undefined) return ownSocket(option.id, place.env);
    const paths = option.paths.map((path) => resolve(place.cwd, path));
    if (!paths.some(isSocket)) {
      const agent = await startAgent(option.id, paths);
      started.push(agent);
      return agent.socket;
    }
    if (paths.length > 1) {
      throw new TsbuildError('TSB_SSH_SOCKET', `ssh agent ${option.id}: only a single socket is allowed`);
    }
    return resolve(place.cwd, first);
  };
  return {
    async socketOf(id) {
      const option = options.find((candidate) => candidate.id === id);
      if (option === undefined) return undefined;
      const socket = sockets.get(id) ?? open(option);
      sockets.set(id, socket);
      return await socket;
    },
    close() {
      for (const agent of started.splice(0)) agent.close();
    },
  };
}

function ownSocket(id: string, env: NodeJS.ProcessEnv): string {
  const socket = env['SSH_AUTH_SOCK'];
  if (socket !== undefined && socket !== '' && isSocket(socket)) return socket;
  throw new TsbuildError('TSB_SSH_SOCKET', `ssh agent ${id}: invalid empty ssh agent socket`, {
    hint: 'make sure SSH_AUTH_SOCK is set, or give --ssh ID=SOCKET or ID=KEY',
  });
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

async function startAgent(id: string, keys: readonly string[]): Promise<StartedAgent> {
  const directory = mkdtempSync(join(tmpdir(), 'tsbuild-ssh-'));
  const socket = join(directory, 'agent');
  // The agent holds keys: it must not be left behind.
  const child = spawnTied('exec ssh-agent -D -a "$1"', ['ssh-agent', socket, directory], { afterwards: 'rm -rf "$2"' });
  child.stderr.resume();
  const agent: StartedAgent = {
    socket,
    close() {
      // First, while nobody else removes what is in it.
      rmSync(directory, { recursive: true, force: true });
      child.kill();
    },
  };
  try {
    await isListening(child, id);
    for (const key of keys) await addKey(id, key, socket);
  } catch (error) {
    agent.close();
    throw error;
  }
  return agent;
}

/** The agent writes its variables once its socket is there. */
async function isListening(child: ChildProcess, id: string): Promise<void> {
  await new Promise<void>((done, reject) => {
    const fail = (cause: Error | undefined): void => {
      reject(new TsbuildError('TSB_SSH_KEY', `ssh agent ${id}: cannot start ssh-agent`, { cause, hint: INSTALL_HINT }));
    };
    child.once('error', fail);
    child.once('exit', () => fail(undefined));
    child.stdout?.once('data', () => done());
  });
  child.stdout?.resume();
}

const INSTALL_HINT = 'keys need ssh-agent and ssh-add (Debian: openssh-client)';

async function addKey(id: string, key: string, socket: string): Promise<void> {
  const env = { ...process.env, SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: 'never' };
  await new Promise<void>((done, reject) => {
    const adding = execFile('ssh-add', ['-q', key], { env }, (cause, _stdout, stderr) => {
      if (cause === null) return done();
      const reason = stderr.trim().split('\n').at(-1) ?? '';
      reject(
        new TsbuildError('TSB_SSH_KEY', `ssh agent ${id}: cannot use the key ${key}${reason && `: ${reason}`}`, {
          hint: 'a key with a passphrase needs an agent that has it: --ssh ID=$SSH_AUTH_SOCK',
        }),
      );
    });
    adding.stdin?.end();
  });
}
