# What a step can see and do: a line `name | value` each. Runs in busybox's shell.
say() { echo "$1 | $2"; }
say cwd "$(pwd)"
say umask "$(umask)"
say hostname "$(hostname)"
say 'process 1' "$(tr '\0' ' ' </proc/1/cmdline | cut -c1-20)"
say 'pid, parent, group, session, terminal' "$(cut -d' ' -f1,4-7 /proc/$$/stat)"
for fd in /proc/$$/fd/*; do say "descriptor ${fd##*/}" "$(readlink "$fd" | tr -d '0-9')"; done
grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNew|Seccomp|SigBlk|SigIgn|SigCgt|CoreDumping|THP|Cpus_allowed_list|Mems_allowed_list|Speculation)' /proc/self/status |
  while IFS=: read -r name value; do say "status $name" "$(echo $value)"; done
env | grep -v '^\(PWD\|SHLVL\|OLDPWD\|_\)=' | while IFS== read -r name value; do say "variable $name" "$value"; done
tail -n +2 /proc/self/limits | sed 's/  */ /g' | while read -r _ a b rest; do say "limit $a $b" "$rest"; done
for ns in /proc/1/ns/*; do say "namespace ${ns##*/}" "$(readlink "$ns")"; done
while read -r _ _ _ root point options rest; do
  type=${rest#*- }
  say "mount $point" "${type%% *} $root $options"
done </proc/self/mountinfo
for name in /dev/* /dev/pts/*; do say "device $name" "$(stat -c '%A %u:%g %t,%T' "$name") $(readlink "$name")"; done
for file in oom_score_adj loginuid sessionid coredump_filter timerslack_ns setgroups attr/current autogroup; do
  say "/proc/self/$file" "$(cat /proc/self/$file 2>&1 | tr '\0' ' ')"
done
while IFS=: read -r _ name path; do say "cgroup ${name:-unified}" "$path"; done </proc/self/cgroup
ls -l /sys/fs/cgroup 2>/dev/null | tail -n +2 | while read -r mode _ _ _ _ _ _ _ name; do say "cgroup tree $name" "$mode"; done
say 'cgroup names' "$(ls /sys/fs/cgroup/*/ 2>/dev/null | wc -l)"
for dir in / /proc/sys /sys /sys/fs /sys/kernel; do say "names in $dir" "$(ls $dir | tr '\n' ' ')"; done
say 'network devices' "$(ls /sys/class/net | tr '\n' ' ')"
for name in kernel/hostname kernel/domainname kernel/shmmax kernel/shmall kernel/msgmax kernel/sem fs/mqueue/msg_max net/ipv4/ip_forward \
  net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range kernel/ns_last_pid user/max_user_namespaces; do
  say "sysctl $name" "$(cat /proc/sys/$name 2>&1)"
  say "sysctl $name can be written" "$(cat /proc/sys/$name 2>/dev/null | (cat >/proc/sys/$name) 2>&1 | sed 's/.*: //')"
done
for path in /proc/acpi /proc/asound /proc/bus /proc/fs /proc/interrupts /proc/irq /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi \
  /proc/sysrq-trigger /proc/timer_list /proc/timer_stats /sys/firmware /sys/devices/virtual/powercap /sys/kernel/security /sys/kernel/debug; do
  say "path $path" "$(stat -c '%F %t,%T %a' $path 2>&1 | sed 's/^stat: .*: //')"
done
for file in /etc/hosts /etc/resolv.conf /etc/hostname /etc/mtab; do
  say "file $file" "$(stat -c '%F %a %u:%g' $file 2>&1 | sed 's/^stat: .*: //') $(cat $file 2>/dev/null | tr '\n\t' ';,')"
done
try() { say "may $1" "$("$@" 2>&1 </dev/null | tail -1 | sed 's/.*: //'; )"; }
try mount -t tmpfs none /tmp
try unshare -n true
try chroot / true
try mknod /tmp/node b 8 0
try mknod /tmp/node2 c 1 3
try hostname other
try date -s 2020-01-01
try renice -n -5 $$
try chown 12345:54321 /tmp
try su nobody -s /bin/sh -c 'id -u'
try ping -c 1 -w 1 127.0.0.1
try dmesg
