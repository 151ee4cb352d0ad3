// fuse-overlayfs: it runs beside the command, in the keeper's pid namespace, out of the command's sight, and ends with the
// keeper. The mount is made where the command is, and goes with its mount namespace.
import type { OverlayMount } from './executor.ts';
import type { InitProgram } from './init-program.ts';
import { enterScratch, overlayDirectories } from './rootfs-steps.ts';
import type { SandboxHost } from './sandbox-host.ts';
import { FUSE_DEVICE_TAG, OVERLAY_TAG, type StandIn } from './stand-in.ts';
import { AT, CLONE, MAX_FD, OPEN, SIGNAL } from './syscalls.ts';

/** Starts fuse-overlayfs for an overlay; the calling process and the command it starts have the descriptor, too. */
export function startFuse(
  program: InitProgram,
  host: SandboxHost,
  overlay: OverlayMount,
  standIn: Extract<StandIn, { readonly kind: 'fuse' }>,
): void {
  const { fd } = standIn;
  program.purpose('open /dev/fuse');
  const device = program.call('openat', [AT.cwd, '/dev/fuse', OPEN.rdwr | OPEN.cloexec], { tag: FUSE_DEVICE_TAG });
  program.purpose(`start ${standIn.program}`);
  program.call('dup3', [device, fd, OPEN.cloexec]);
  program.call('close', [device]);
  const mounted = program.call('eventfd2', [0, OPEN.cloexec]);
  program.call('dup3', [mounted, fd + 1, OPEN.cloexec]);
  program.call('close', [mounted]);
  const started = program.label();
  program.call('clone', [SIGNAL.chld], { onPositive: started });
  program.call('setsid', [], { ignore: true });
  program.call('unshare', [CLONE.newNs], { tag: 'namespaces' });
  const names = enterScratch(program, host);
  program.purpose(`start ${standIn.program}`);
  const options = [...overlayDirectories(program, host, names, overlay), 'redirect_dir=off'].join(',');
  const silence = program.call('openat', [AT.cwd, '/dev/null', OPEN.rdwr | OPEN.cloexec]);
  for (const stream of [0, 1, 2]) program.call('dup3', [silence, stream, 0]);
  // Before there is a mount it would read an error and end.
  program.call('read', [fd + 1, program.words([0]), 8]);
  program.call('dup3', [fd, 3, 0]);
  program.call('close_range', [4, MAX_FD, 0]);
  const args = [standIn.program, '-f', '-o', options, '/dev/fd/3'];
  const env = program.textList(['PATH=/usr/sbin:/usr/bin:/sbin:/bin']);
  program.call('execve', [standIn.program, program.textList(args), env], { tag: OVERLAY_TAG });
  program.place(started);
}
