#!/bin/busybox sh
# The guest's first process: makes this machine's files the root, with an overlay that takes what is written, and hands over
# to the test program. /settings has $program, $modules and $folder.
b=/bin/busybox
. /settings
$b mount -t proc proc /proc
while read -r module; do $b insmod "/modules/$module" || echo "cannot load $module"; done </order
share="trans=virtio,version=9p2000.L,msize=512000"
$b mount -t 9p -o "$share,ro,cache=loose" root /root
$b mount -t tmpfs tmpfs /written
$b mkdir /written/upper /written/work
$b mount -t overlay -o lowerdir=/root,upperdir=/written/upper,workdir=/written/work overlay /new
for each in "proc proc" "sysfs sys" "devtmpfs dev" "tmpfs run"; do
    $b mkdir -p "/new/${each#* }"
    $b mount -t "${each% *}" "${each% *}" "/new/${each#* }"
done
$b mkdir -p /new/dev/pts /new/dev/shm "/new$folder"
$b mount -t devpts devpts /new/dev/pts
$b mount -t tmpfs tmpfs /new/dev/shm
$b mount -t cgroup2 cgroup /new/sys/fs/cgroup
$b ln -s /proc/self/fd /new/dev/fd
for each in 0:stdin 1:stdout 2:stderr; do $b ln -s "/proc/self/fd/${each%:*}" "/new/dev/${each#*:}"; done
if [ "$modules" != /lib/modules ]; then
    $b mkdir -p /new/lib/modules
    $b mount --bind "/new$modules" /new/lib/modules
fi
$b mount -t 9p -o "$share,cache=none" folder "/new$folder"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root BOWLINE_TEST_GUEST=1
exec $b switch_root /new /bin/sh -c '
    ip link set lo up
    "$0" in-the-guest "$1"
    sync
    echo o >/proc/sysrq-trigger
    read -r never </dev/ttyS0' "$program" "$folder"
