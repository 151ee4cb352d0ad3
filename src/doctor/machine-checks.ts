// What can be read of the machine without trying it: kernel, user namespaces, ids, cgroups, the network's helper.
import { arch, release } from 'node:os';
import { CONTROLLERS, readCgroupHost } from '../sandbox/cgroup-host.ts';
import { readText } from '../sandbox/sandbox-host.ts';
import {
  deniedError,
  isMachineRoot,
  mappedIds,
  rangeFix,
  singleIDFix,
  USER_NAMESPACE_VARIABLE,
} from '../sandbox/user-namespace.ts';
import { type Check, checkOf } from './check.ts';

const OLDEST_KERNEL = [5, 12] as const;

/** Blocks on a processor or a kernel that the sandbox does not know. */
export function checkKernel(found: string = release(), machine: string = arch()): Check {
  const check = checkOf('kernel');
  const [major = 0, minor = 0] = found.split('.').map((part) => Number.parseInt(part, 10));
  const fact = `Linux ${found} on ${machine}`;
  if (machine !== 'x64' && machine !== 'arm64') {
    return check.blocked(`${fact}: the sandbox knows x64 and arm64 only`, 'build on such a machine');
  }
  const isOld = major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1]);
  return isOld ? check.blocked(`${fact} is too old`, `use Linux ${OLDEST_KERNEL.join('.')} or newer`) : check.ok(fact);
}

/** How this process came to its rights; `entry` is what entering the user namespace left behind. */
export function checkUserNamespace(entry: string | undefined = process.env[USER_NAMESPACE_VARIABLE]): Check {
  const check = checkOf('user namespace');
  if (entry === 'denied') {
    const { message, hint = '' } = deniedError();
    return check.blocked(message, hint);
  }
  if (entry === undefined) return check.ok('not needed: running as root');
  const restriction = readSysctl('kernel.apparmor_restrict_unprivileged_userns');
  return check.ok(`an ordinary user's works${restriction === '1' ? ', AppArmor allows it to this program' : ''}`);
}

/** The value of a setting such as `user.max_user_namespaces`; undefined where the kernel has none of that name. */
export function readSysctl(name: string): string | undefined {
  return readText(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim();
}

/** Without a range of ids, files of more than one owner cannot be made: nearly every image has some. */
export function checkSubordinateIds(
  entry: string | undefined = process.env[USER_NAMESPACE_VARIABLE],
  count: number = mappedIds(),
): Check {
  const check = checkOf('subordinate ids');
  const fact = 'only one user id is available, so owners are written down instead of enforced';
  if (entry === undefined) {
    if (count >= ENOUGH_IDS) return check.ok('not needed: running as root');
    return check.limited(`root here is a user namespace's: ${count > 1 ? tooFew(count) : fact}`, singleIDFix(entry));
  }
  if (entry === 'denied') return check.warning('not tested: no user namespace', 'see user namespace');
  if (count >= ENOUGH_IDS) return check.ok(`${count} ids through newuidmap`);
  if (count > 1) return check.limited(tooFew(count), rangeFix());
  const isFailed = entry !== 'no-mapper' && entry !== 'no-range';
  return check.limited(isFailed ? `${fact}: newuidmap or newgidmap failed` : fact, singleIDFix(entry));
}

/** Up to 65534, which is nobody's in nearly every image. */
const ENOUGH_IDS = 65_535;

function tooFew(count: number): string {
  return `only ${count} user or group ids are available, so images with files of ids from ${count} on cannot be built`;
}

/** Never blocks: a build without limits needs none. */
export function checkCgroups(): Check {
  const check = checkOf('cgroups');
  const { layout, usable, missing } = readCgroupHost();
  if (layout === 'none')
    return check.warning('no cgroup file system: limits are refused', 'mount one at /sys/fs/cgroup');
  const found = CONTROLLERS.filter((name) => usable.has(name));
  const fact = `${layout}; limits: ${found.length === 0 ? 'none' : found.join(', ')}`;
  const [first] = missing;
  if (first === undefined) return check.ok(fact);
  const fix =
    layout === 'v2'
      ? 'for limits, start it with: systemd-run --user --scope -p Delegate=yes tsbuild …'
      : `for limits, ${isMachineRoot() ? 'let it write to the cgroup trees: in a container, run that privileged' : 'build as root'}`;
  return check.warning(`${fact}; no ${[...missing.keys()].join(', ')}: ${first[1]}`, fix);
}
