import { DISK_SERIALS, RUNTIME_MOUNT } from './disks.js';

/** Modules that a machine needs before its root is there, or that nothing loads later. */
export const INITRD_MODULES = [
  'virtio_pci',
  'virtio_blk',
  'ext4',
  'virtio_net',
  'virtio_console',
  'virtio_rng',
] as const;

/**
 * First process of a machine. It finds the disks by their serials, mounts root and runtime, lets the runtime disk
 * prepare the guest, makes the root grow with its disk, and hands over to the guest's own init. Whatever is in its
 * way it says on the console and switches the machine off, so that nobody waits.
 *
 * `/dev/null` has to stay for background jobs of the shell; the modules come in the order of `/modules`.
 */
export const INITRD_INIT = `#!/bin/sh
export PATH=/bin
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=0755 dev /dev
mount -t tmpfs -o nosuid,nodev,mode=0755,size=20% tmpfs /run
fail() {
  echo "vm-agent: the machine cannot start: $*" > /dev/console
  sleep 1
  poweroff -f
}
while read -r module; do
  insmod "/lib/modules/$module" || echo "vm-agent: module $module was not loaded" > /dev/console
done < /modules
disk() {
  for serial in /sys/block/*/serial; do
    [ -r "$serial" ] && [ "$(cat "$serial")" = "$1" ] || continue
    name=\${serial%/serial}
    echo "/dev/\${name##*/}"
    return
  done
}
await_disk() {
  tries=0
  found=$(disk "$1")
  while [ -z "$found" ] && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
    found=$(disk "$1")
  done
  echo "$found"
}
device=$(await_disk ${DISK_SERIALS.root})
runtime=$(await_disk ${DISK_SERIALS.runtime})
boot=$(await_disk ${DISK_SERIALS.boot})
[ -n "$device" ] || fail "it has no disk with the serial ${DISK_SERIALS.root}"
[ -n "$runtime" ] || fail "it has no disk with the serial ${DISK_SERIALS.runtime}, and so no agent"
[ -n "$boot" ] || fail "it has no disk with the serial ${DISK_SERIALS.boot}, and so nothing to be told"
mount -t ext4 -o rw "$device" /root || fail "its root $device cannot be mounted"
[ -x /root/sbin/init ] || [ -L /root/sbin/init ] || fail "its root has no /sbin/init"
mkdir -p /root${RUNTIME_MOUNT}
mount -t ext4 -o ro,nodev,nosuid "$runtime" /root${RUNTIME_MOUNT} || fail "its runtime disk cannot be mounted"
sh /root${RUNTIME_MOUNT}/boot/initrd.sh
for dir in dev proc sys run; do
  mkdir -p "/root/$dir"
  mount --move "/$dir" "/root/$dir"
done
name=\${device##*/}
blocks=$(od -An -tu4 -j1028 -N4 "/root$device")
scale=$(od -An -tu4 -j1048 -N4 "/root$device")
sectors=$(cat "/root/sys/class/block/$name/size")
if [ "$sectors" -gt "$(((blocks << (scale + 1)) + 131072))" ]; then
  chroot /root /sbin/resize2fs "$device" > /root/dev/console 2>&1 ||
    echo "vm-agent: the file system did not grow with its disk" > /root/dev/console
fi
exec switch_root -c /dev/console /root /sbin/init
`;
