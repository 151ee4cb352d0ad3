// /dev/net/tun for ordinary users.
import { statSync } from 'node:fs';

/** argv prefix: everybody may open the device, as on most distributions, where this machine does not let them. */
export function openTun(): readonly string[] {
  const found = statSync('/dev/net/tun', { throwIfNoEntry: false });
  if (process.getuid?.() !== 0 || found === undefined || (found.mode & 0o006) === 0o006) return [];
  const make = 'mount -t tmpfs none /mnt && mknod /mnt/tun c 10 200 && chmod 666 /mnt/tun';
  const script = `${make} && mount --bind /mnt/tun /dev/net/tun && umount -l /mnt; exec "$@"`;
  return ['unshare', '-m', 'sh', '-c', script, 'sh'];
}
