# PID 1 of one host of tests/hosts/lab.py, until systemd takes over: root file system, devices, cgroups, units that have
# no place in a namespace. Arguments: NAME LOWER-FOLDER MOUNT-POINT PREPARE-SCRIPT CGROUPS CAPABILITIES
# Everything happens in this process's own namespaces; the machine's own mounts are never touched.
set -euo pipefail
NAME=$1 BASE=$2 MNT=$3 PREP=$4 CGLIST=$5 CAPS=$6; R=$MNT/root
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$MNT"; mkdir -p "$MNT/up" "$MNT/wk" "$R"
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$MNT/up,workdir=$MNT/wk" "$R"
mount -t proc -o nosuid,nodev,noexec proc "$R/proc"
mount --bind "$R/proc/sys" "$R/proc/sys"; mount -o remount,bind,ro "$R/proc/sys"      # the machine's sysctls stay as they are
[ ! -e "$R/proc/sysrq-trigger" ] || mount --bind /dev/null "$R/proc/sysrq-trigger"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$R/sys"
mount -t tmpfs -o mode=755,nosuid tmpfs "$R/dev"; mkdir "$R/dev/pts" "$R/dev/shm"
for n in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 "$R/dev/${n%:*}" c 1 "${n#*:}"; done; mknod -m 666 "$R/dev/tty" c 5 0
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"; ln -s pts/ptmx "$R/dev/ptmx"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$R/dev/shm"
ln -s /proc/self/fd "$R/dev/fd"; ln -s fd/0 "$R/dev/stdin"; ln -s fd/1 "$R/dev/stdout"; ln -s fd/2 "$R/dev/stderr"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$R/run"; mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$R/tmp"
O=nosuid,nodev,noexec; v2=0
if [ "$CGLIST" = v2 ]; then v2=1; mount -t cgroup2 -o $O cgroup2 "$R/sys/fs/cgroup"
else
  mount -t tmpfs -o mode=755,$O tmpfs "$R/sys/fs/cgroup"
  for e in $CGLIST; do d=${e%%=*} o=${e#*=}                                              # directory=mount options
    case $d in cpuacct) continue;; cpu) ln -s cpu,cpuacct "$R/sys/fs/cgroup/cpu"; d=cpu,cpuacct;; esac   # systemd looks for the joined name
    mkdir "$R/sys/fs/cgroup/$d"
    if [ "$o" = cgroup2 ]; then mount -t cgroup2 -o $O cgroup2 "$R/sys/fs/cgroup/$d"; else mount -t cgroup -o "$O,$o" cgroup "$R/sys/fs/cgroup/$d"; fi
  done
fi
hostname "$NAME"; echo "$NAME" >"$R/etc/hostname"; : >"$R/etc/fstab"
tr -d - </proc/sys/kernel/random/uuid >"$R/etc/machine-id"            # a valid id: no "first boot", so no preset-all of what the machine has
S=$R/etc/systemd/system; mkdir -p "$S"
for w in "$S"/*.wants "$S"/*.requires; do [ ! -d "$w" ] || find "$w" -type l -delete; done     # whiteouts in the upper layer only
for u in systemd-{udevd,udev-trigger,modules-load,sysctl,timesyncd,networkd,resolved,hwdb-update,remount-fs,binfmt,firstboot,pstore,journal-catalog-update,update-utmp,update-utmp-runlevel}.service \
  systemd-udevd-{control,kernel}.socket dev-hugepages.mount sys-kernel-{debug,tracing,config}.mount sys-fs-fuse-connections.mount \
  proc-sys-fs-binfmt_misc.automount getty.target ldconfig.service; do ln -sfn /dev/null "$S/$u"; done
mkdir -p "$R/etc/systemd/journald.conf.d"; printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n' >"$R/etc/systemd/journald.conf.d/lab.conf"
[ -z "$PREP" ] || bash -euc "$PREP" prep "$R"
until ip -o link show eth0 2>/dev/null | grep -q 'state UP'; do sleep 0.02; done          # the parent plugs the cable
cd "$R"; mkdir -p .old; pivot_root . .old; cd /; umount -l /.old; rmdir /.old
mount --make-rshared /                                                # as nspawn: credential mounts must propagate inside
export container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
export SYSTEMD_PROC_CMDLINE="systemd.unified_cgroup_hierarchy=$v2 systemd.legacy_systemd_cgroup_controller=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"
exec env -i container="$container" PATH="$PATH" SYSTEMD_PROC_CMDLINE="$SYSTEMD_PROC_CMDLINE" SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1 \
  setpriv --bounding-set "$CAPS" --inh-caps=-all /lib/systemd/systemd --unit=multi-user.target --show-status=0
