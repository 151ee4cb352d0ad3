// Receiving an open file that another process sends over a local socket.
import { createRequire } from 'node:module';

const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** struct msghdr, then the vector, one byte of data, and the control message with one descriptor. */
const AT = { vector: 56, data: 72, control: 80, bytes: 104 } as const;
const CONTROL_BYTES = 24;

/** Waits without blocking; undefined when the other side has gone without sending one. The caller closes both. */
export async function receiveDescriptor(socketFd: number): Promise<number | undefined> {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const recvmsg = koffi.load('libc.so.6').func('long recvmsg(int fd, void *message, int flags)');
  const memory = Buffer.alloc(AT.bytes);
  const address = BigInt(koffi.address(memory));
  memory.writeBigUInt64LE(address + BigInt(AT.vector), 16);
  memory.writeBigUInt64LE(1n, 24);
  memory.writeBigUInt64LE(address + BigInt(AT.control), 32);
  memory.writeBigUInt64LE(BigInt(CONTROL_BYTES), 40);
  memory.writeBigUInt64LE(address + BigInt(AT.data), AT.vector);
  memory.writeBigUInt64LE(1n, AT.vector + 8);
  const result = await new Promise<number>((resolve, reject) => {
    recvmsg.async(socketFd, memory, MSG_CMSG_CLOEXEC, (error: Error | null, received: number | bigint) => {
      if (error) reject(error);
      else resolve(Number(received));
    });
  });
  if (result <= 0 || memory.readUInt32LE(AT.control + 12) !== SCM_RIGHTS) return undefined;
  return memory.readInt32LE(AT.control + 16);
}
