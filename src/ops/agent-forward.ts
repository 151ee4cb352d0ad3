// A socket for one step that leads to an ssh agent. A step may ask for keys and signatures; it can neither add keys nor
// remove or lock those there.
import { chmodSync, closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { currentProcess, temporaryPrefix } from '../store/owners.ts';
import { lendTo } from '../sys/recorded-owner.ts';

/** The path stays until `close`. */
interface AgentForward {
  readonly path: string;
  close(): void;
}

interface SocketOwner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/** SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST, SSH_AGENTC_EXTENSION. */
const ALLOWED = new Set([11, 13, 27]);
const FAILURE = Buffer.from([0, 0, 0, 1, 5]);
/** The limit of OpenSSH's own agent. */
const MAX_MESSAGE_BYTES = 256 * 1024;
const LENGTH_BYTES = 4;

/**
 * Listens on a new socket with that owner and mode, for the agent whose socket is `agentPath`. It is made in a new directory
 * of `parent`, whose name tells whose it is.
 */
export async function forwardAgent(
  agentPath: string,
  parent: string,
  { uid, gid, mode }: SocketOwner,
): Promise<AgentForward> {
  const directory = mkdtempSync(join(parent, `${temporaryPrefix(currentProcess())}ssh-`));
  const path = join(directory, 'agent');
  const directoryFd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const open = new Set<Socket>();
  const server = createServer((client) => connect(client, agentPath, open));
  const close = (): void => {
    server.close();
    closeSync(directoryFd);
    for (const socket of open) socket.destroy();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    // The path of a socket has at most 107 bytes, that of a store may have more.
    await listen(server, `/proc/self/fd/${directoryFd}/agent`);
    lendTo(path, { uid, gid });
    chmodSync(path, mode);
  } catch (error) {
    close();
    throw error;
  }
  return { path, close };
}

async function listen(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
}

function connect(client: Socket, agentPath: string, open: Set<Socket>): void {
  const agent = createConnection(agentPath);
  for (const socket of [client, agent]) {
    open.add(socket);
    // Whoever leaves first takes the other along.
    socket.on('error', () => {});
    socket.on('close', () => {
      open.delete(socket);
      client.destroy();
      agent.destroy();
    });
  }
  agent.pipe(client);
  let pending: Buffer = Buffer.alloc(0);
  client.on('data', (bytes) => {
    pending = passMessages(Buffer.concat([pending, bytes]), client, agent);
  });
}

/** Sends on the whole messages and returns the rest; whoever sends what is no message is left. */
function passMessages(bytes: Buffer, client: Socket, agent: Socket): Buffer {
  let at = 0;
  while (bytes.length - at >= LENGTH_BYTES) {
    const length = bytes.readUInt32BE(at);
    if (length === 0 || length > MAX_MESSAGE_BYTES) {
      client.destroy();
      break;
    }
    const end = at + LENGTH_BYTES + length;
    if (end > bytes.length) break;
    if (ALLOWED.has(bytes[at + LENGTH_BYTES] ?? 0)) agent.write(bytes.subarray(at, end));
    else client.write(FAILURE);
    at = end;
  }
  return bytes.subarray(at);
}
