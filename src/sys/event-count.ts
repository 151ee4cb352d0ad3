// A count that the kernel adds to when something happens: an eventfd.
import { readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { codeOf } from './error-code.ts';

const EFD_CLOEXEC_NONBLOCK = 0o2004000;

/** Its descriptor, or undefined where there is none to be had. The caller closes it. */
export function makeEventCount(): number | undefined {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const eventfd = koffi.load('libc.so.6').func('int eventfd(unsigned int start, int flags)');
  const fd = Number(eventfd(0, EFD_CLOEXEC_NONBLOCK));
  return fd < 0 ? undefined : fd;
}

/** Whether anything has happened since it was made or last asked. */
export function hasEvents(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(8)) === 8;
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return false;
    throw error;
  }
}
