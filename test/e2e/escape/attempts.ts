// What a RUN tries, by number. Calls are made from machine code; scripts leave what they saw in a file of their name.
import type { Call } from './rig.ts';

const [EPERM, ENOENT, ENOSYS] = [1, 2, 38];
const AT_CWD = -100;
const CLONE_NEWUSER = 0x10000000;
const CLONE_NEWNS = 0x20000;
const SIGCHLD = 17;

interface Attempt {
  readonly number: number;
  readonly name: string;
  readonly calls: readonly Call[];
  readonly errno: number;
}

const isX64 = process.arch === 'x64';

const LIST: readonly (readonly [name: string, calls: readonly Call[], errno?: number])[] = [
  ['mount', [['mount', 'tmpfs', '/tmp', 'tmpfs', 0, undefined]]],
  ['mount-proc', [['mount', 'proc', '/tmp', 'proc', 0, undefined]]],
  ['remount-rw', [['mount', undefined, '/proc/sys', undefined, 0x1020, undefined]]],
  ['umount', [['umount2', '/proc/sys', 2]]],
  ['pivot_root', [['pivot_root', '/tmp', '/tmp']]],
  ['open_tree', [['open_tree', AT_CWD, '/', 1]]],
  ['move_mount', [['move_mount', AT_CWD, '/dev', AT_CWD, '/tmp', 0]]],
  ['fsopen', [['fsopen', 'tmpfs', 0]]],
  ['fspick', [['fspick', AT_CWD, '/', 0]]],
  ['mount_setattr', [['mount_setattr', AT_CWD, '/proc/sys', 0, new Uint8Array(32), 32]]],
  ['unshare-user', [['unshare', CLONE_NEWUSER]]],
  ['unshare-mount', [['unshare', CLONE_NEWNS]]],
  ['clone-user', [['clone', CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0]]],
  ['clone3', [['clone3', new Uint8Array(64), 64]], ENOSYS],
  ['setns', [['setns', 0, 0]]],
  ['keyctl', [['keyctl', 0, -3, 0]]],
  ['add_key', [['add_key', 'user', 'k', 'v', 1, -2]]],
  ['request_key', [['request_key', 'user', 'k', undefined, 0]]],
  ['bpf', [['bpf', 0, new Uint8Array(128), 128]]],
  ['perf_event_open', [['perf_event_open', new Uint8Array(128), 0, -1, -1, 0]]],
  ['open_by_handle_at', [['open_by_handle_at', AT_CWD, new Uint8Array(16), 0]]],
  ['kexec_load', [['kexec_load', 0, 0, undefined, 0]]],
  ['kexec_file_load', [['kexec_file_load', -1, -1, 0, undefined, 4]]],
  // Turns Ctrl-Alt-Del off, where it may.
  ['reboot', [['reboot', 0xfee1dead, 672274793, 0, undefined]]],
  ['init_module', [['init_module', undefined, 0, '']]],
  ['finit_module', [['finit_module', -1, '', 0]]],
  ['delete_module', [['delete_module', 'no_such_module', 0]]],
  ['swapon', [['swapon', '/none', 0]]],
  ['swapoff', [['swapoff', '/none']]],
  ['acct', [['acct', undefined]]],
  ['sethostname', [['sethostname', 'escaped', 7]]],
  ['setdomainname', [['setdomainname', 'escaped', 7]]],
  ['clock_settime', [['clock_settime', 0, new Uint8Array(16)]]],
  ['syslog', [['syslog', 3, new Uint8Array(64), 64]]],
  ['userfaultfd', [['userfaultfd', 0]]],
  ['fanotify_init', [['fanotify_init', 0, 0]]],
  ['kcmp', [['kcmp', 1, 1, 0, 0, 0]]],
  ['pidfd_getfd', [['pidfd_getfd', 0, 0, 0]]],
  ['move_pages', [['move_pages', 1, 0, undefined, undefined, undefined, 0]]],
  ['quotactl', [['quotactl', 0, undefined, 0, undefined]]],
  ['socket-alg', [['socket', 38, 5, 0]]],
  ['socket-vsock', [['socket', 40, 1, 0]]],
  ['personality', [['personality', 0x0400000]]],
  // The image has no /usr/bin, every host has.
  [
    'chroot-and-up',
    [
      ['mkdirat', AT_CWD, '/tmp/jail', 0o755],
      ['chroot', '/tmp/jail'],
      ['chdir', '../../../../../../../..'],
      ['openat', AT_CWD, 'usr/bin', 0],
    ],
    ENOENT,
  ],
  ['magic-root', [['openat', AT_CWD, '/proc/1/root/../../../../../proc/1/root/usr/bin', 0o200000]], ENOENT],
  ...(isX64
    ? ([
        ['iopl', [['iopl', 3]]],
        ['ioperm', [['ioperm', 0, 1, 1]]],
      ] as const)
    : []),
];

/** By their place in the list, from 1. */
export const ATTEMPTS: readonly Attempt[] = LIST.map(([name, calls, errno = EPERM], index) => ({
  number: index + 1,
  name,
  calls,
  errno,
}));

/** Shell text by name; `$P` is a directory of the host, `$TESTPID` the process that runs the tests. */
export const SCRIPTS: Readonly<Record<string, string>> = {
  'proc-root':
    'cat /proc/1/root$P/canary /proc/self/root$P/canary /proc/1/cwd$P/canary /..$P/canary /../../proc/1/root$P/canary',
  'proc-sys':
    'for f in kernel/core_pattern vm/swappiness kernel/domainname; do echo escaped >/proc/sys/$f && echo WRITTEN; done; echo h >/proc/sysrq-trigger && echo WRITTEN',
  sys: 'for d in /sys/fs/cgroup /sys/fs/cgroup/*; do [ -e $d/cgroup.procs ] && mkdir $d/escape && echo WRITTEN; done; echo 1 >/sys/kernel/uevent_helper && echo WRITTEN',
  masked:
    'cat /proc/kcore /proc/keys /proc/timer_list | head -c 64 | wc -c; ls /sys/firmware /proc/acpi /proc/scsi | grep -v : | wc -w',
  unmask:
    'umount /proc/keys && echo UNMOUNTED; umount -l /proc/sys && echo UNMOUNTED; umount -l /sys/firmware && echo UNMOUNTED; umount / && echo UNMOUNTED',
  devices:
    'for d in /x /tmp/x /dev/x /dev/shm/x; do mknod $d c 10 229 && (: <$d) && echo OPENED; mknod $d-k c 1 11 && (: <$d-k) && echo OPENED; done',
  fds: 'ls /proc/1/fd /proc/self/fd; for n in 0 1 2; do readlink /proc/1/fd/$n; done',
  env: 'env; cat /proc/*/environ',
  signals: 'kill -9 $TESTPID && echo KILLED; kill -0 $TESTPID && echo SEEN; ls /proc | grep -c "^[0-9]"',
  background: '(sleep 7654321 & sleep 7654321 &) ; echo started',
  terminal: '(: </dev/tty) && echo TERMINAL; (: </dev/console) && echo TERMINAL; ls /dev/pts',
  mounts: 'cat /proc/self/mountinfo; readlink /proc/self/exe',
  setuid: 'cp /bin/busybox /made-setuid; chmod 4755 /made-setuid; stat -c %a /made-setuid',
  status: 'grep -E "^(NoNewPrivs|Seccomp|CapBnd|CapAmb|Umask)" /proc/self/status; ls /dev/mqueue | wc -l',
};

/** What the scripts must and must not have seen. */
export const EXPECTED: readonly {
  readonly number: number;
  readonly title: string;
  readonly name: string;
  readonly shows?: RegExp;
  readonly never?: RegExp;
  readonly rootOnly?: boolean;
}[] = [
  {
    number: 50,
    title: 'the roots below /proc and /.. are its own',
    name: 'proc-root',
    shows: /^(cat: .*No such file.*\n){5}$/,
  },
  { number: 51, title: 'kernel settings are read-only', name: 'proc-sys', shows: /Read-only|denied/, never: /WRITTEN/ },
  { number: 52, title: '/sys and its cgroups are read-only', name: 'sys', shows: /Read-only|denied/, never: /WRITTEN/ },
  { number: 53, title: 'memory, keys and firmware are hidden', name: 'masked', shows: /^0$[\s\S]*^0$/m },
  {
    number: 54,
    title: 'what hides them cannot be unmounted',
    name: 'unmask',
    shows: /denied|permitted/,
    never: /UNMOUNTED/,
  },
  { number: 55, title: 'devices it makes cannot be opened', name: 'devices', never: /OPENED|No such device/ },
  {
    number: 56,
    title: 'there are three descriptors, all pipes',
    name: 'fds',
    shows: /(pipe:.*\n){3}/,
    never: /^[4-9]$|memfd|tsbuild/m,
  },
  { number: 57, title: "the builder's environment stays outside", name: 'env', never: /HOST_SECRET|TSBUILD/ },
  { number: 58, title: 'processes outside cannot be seen or ended', name: 'signals', never: /KILLED|SEEN/ },
  { number: 59, title: 'processes can be started in the background', name: 'background', shows: /started/ },
  { number: 60, title: 'there is no terminal', name: 'terminal', shows: /ptmx\n$/, never: /TERMINAL/ },
  { number: 61, title: 'mounts do not tell where the store is', name: 'mounts', never: /outside|snapshots|\/store/ },
  { number: 62, title: 'setuid files can be made', name: 'setuid', shows: /^4755$/m },
  {
    number: 63,
    title: 'a filter and no rights beyond the usual ones',
    name: 'status',
    shows: /CapBnd:\t00000000a80425fb\nCapAmb:\t0+\nNoNewPrivs:\t0\nSeccomp:\t2/,
  },
  { number: 64, title: 'mask and queues are its own', name: 'status', shows: /Umask:\t0022\n[\s\S]*\n0\n$/ },
];
