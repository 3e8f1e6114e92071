import { CONTROL_PORT, DISK_SERIALS, RUNTIME_MOUNT } from './disks.js';
import type { RuntimeEntry } from './runtime-entry.js';

/** User of the guest that tasks run as. Images have it, with password-less sudo. */
export const GUEST_USER = 'agent';

const NODE = `${RUNTIME_MOUNT}/bin/node`;
const CONFIG = `${RUNTIME_MOUNT}/config.json`;

/**
 * Settings of the agent in a guest; the rest stands on the boot disk. The state is in the guest, readable by root
 * alone.
 */
const AGENT_CONFIG = {
  bootDisk: DISK_SERIALS.boot,
  controlPort: CONTROL_PORT,
  taskUser: GUEST_USER,
  stateDir: '/var/lib/vm-agent',
};

/**
 * The agent's unit. Without default dependencies, so that it starts while the rest of the guest still does. See
 * deploy/vm-agent.service, which says why the lines of [Service] are as they are.
 */
const UNIT = `[Unit]
Description=vm-agent-system agent
DefaultDependencies=no
RequiresMountsFor=${RUNTIME_MOUNT}
Conflicts=shutdown.target
Before=shutdown.target
StartLimitIntervalSec=0

[Service]
ExecStart=${NODE} ${RUNTIME_MOUNT}/agent/agent.mjs --config ${CONFIG}
WorkingDirectory=/
StandardError=journal+console
KillMode=process
KillSignal=SIGTERM
TimeoutStopSec=30
RestartKillSignal=SIGHUP
SuccessExitStatus=75
Restart=always
RestartSec=1
RestartPreventExitStatus=64 78
Delegate=yes
OOMPolicy=continue
OOMScoreAdjust=-900

[Install]
WantedBy=sysinit.target
`;

/**
 * Units that a machine does without, or that only cost time at its start. Devices are there without udev (devtmpfs)
 * and never change; modules are loaded when they are wanted; name service and clock are set by the agent; the journal
 * stays in memory; nobody logs in at the console; and apt must not hold its lock when a task wants it.
 */
const MASKED = [
  'systemd-udev-trigger.service',
  'systemd-udev-settle.service',
  'systemd-udevd.service',
  'systemd-udevd-control.socket',
  'systemd-udevd-kernel.socket',
  'systemd-hwdb-update.service',
  'systemd-journal-flush.service',
  'systemd-journal-catalog-update.service',
  'systemd-resolved.service',
  'systemd-networkd.service',
  'systemd-networkd.socket',
  'systemd-networkd-wait-online.service',
  'systemd-timesyncd.service',
  'systemd-firstboot.service',
  'systemd-machine-id-commit.service',
  'systemd-update-done.service',
  'systemd-sysusers.service',
  'systemd-pstore.service',
  'systemd-binfmt.service',
  'modprobe@configfs.service',
  'modprobe@dm_mod.service',
  'modprobe@drm.service',
  'modprobe@efi_pstore.service',
  'modprobe@fuse.service',
  'modprobe@loop.service',
  'sys-kernel-config.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
  'dev-hugepages.mount',
  'serial-getty@ttyS0.service',
  'getty@tty1.service',
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
];

/** Keeps the journal in memory, within a limit. */
const JOURNAL = `[Journal]
Storage=volatile
RuntimeMaxUse=16M
`;

/**
 * What is the same for both kinds of guest. $root is the guest's root directory (empty when it is running), $boot the
 * device of the boot disk.
 *
 * Node.js is linked into /usr/local/bin, which is in the PATH of tasks and of sudo, unless the guest has its own there.
 */
const COMMON = `home=${RUNTIME_MOUNT}
find_disk() {
  for serial in /sys/block/*/serial; do
    [ -r "$serial" ] && [ "$(cat "$serial")" = "$1" ] || continue
    device=\${serial%/serial}
    echo "/dev/\${device##*/}"
    return
  done
}
own_network() {
  tries=0
  while [ -z "$(ls /sys/class/net | grep -vx lo)" ] && [ "$tries" -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  for nic in /sys/class/net/*; do
    nic=\${nic##*/}
    [ "$nic" != lo ] || continue
    echo 1 > "/proc/sys/net/ipv6/conf/$nic/disable_ipv6" 2> /dev/null
    ip address add 10.0.2.15/24 dev "$nic"
    ip link set "$nic" up
    ip route add default via 10.0.2.2
    return
  done
}
link_programs() {
  mkdir -p "$root/usr/local/bin"
  for name in node npm npx; do
    [ -e "$root$home/bin/$name" ] || [ -L "$root$home/bin/$name" ] || continue
    [ -e "$root/usr/local/bin/$name" ] || ln -sfn "../lib/vm-agent/bin/$name" "$root/usr/local/bin/$name"
  done
}
lend_libraries() {
  for library in "$root$home"/lib/*.so*; do
    [ -e "$library" ] || continue
    name=\${library##*/}
    for dir in lib usr/lib usr/lib64 lib64; do
      for found in "$root/$dir/$name" "$root/$dir"/*-linux-gnu/"$name"; do
        [ -e "$found" ] && continue 3
      done
    done
    mkdir -p "$root/etc/ld.so.conf.d"
    echo "$home/lib" > "$root/etc/ld.so.conf.d/zz-vm-agent.conf"
    chroot "$root/" ldconfig
    return
  done
}
stir_entropy() {
  [ -z "$boot" ] || cat "$boot" > /dev/urandom
}
`;

/** Part of the initrd that comes with the runtime disk, so that images need not be made again. */
const INITRD_PART = `root=/root
. /root${RUNTIME_MOUNT}/boot/common.sh
boot=$(find_disk ${DISK_SERIALS.boot})
stir_entropy
ip link set lo up
own_network
id=$(cat /root/etc/machine-id 2> /dev/null)
case $id in
  [0-9a-f]*) ;;
  *) tr -d - < /proc/sys/kernel/random/uuid > /root/etc/machine-id ;;
esac
units=/run/systemd/system
mkdir -p "$units/sysinit.target.wants" /run/systemd/journald.conf.d
cp "$root$home/systemd/vm-agent.service" "$units/"
ln -s ../vm-agent.service "$units/sysinit.target.wants/vm-agent.service"
cp "$root$home/systemd/journald.conf" /run/systemd/journald.conf.d/vm-agent.conf
while read -r unit; do
  ln -s /dev/null "$units/$unit"
done < "$root$home/systemd/masked"
link_programs
lend_libraries
`;

/** Prepares a running guest that has its own way of booting; called at each of its boots. */
const CLOUD_PART = `#!/bin/sh
root=
. ${RUNTIME_MOUNT}/boot/common.sh
boot=$(find_disk ${DISK_SERIALS.boot})
stir_entropy
if [ -z "$(ip -4 route show default)" ]; then
  own_network
fi
id -u ${GUEST_USER} > /dev/null 2>&1 || useradd --create-home --shell /bin/bash ${GUEST_USER}
echo '${GUEST_USER} ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/90-vm-agent
chmod 440 /etc/sudoers.d/90-vm-agent
chown ${GUEST_USER}:${GUEST_USER} /opt /srv
link_programs
lend_libraries
mkdir -p /run/systemd/system
cp "$home/systemd/vm-agent.service" /run/systemd/system/
systemctl daemon-reload
exec systemctl start --no-block vm-agent.service
`;

/** Texts on the runtime disk. */
export const BOOT_SCRIPTS: readonly RuntimeEntry[] = [
  { path: 'boot/common.sh', text: COMMON },
  { path: 'boot/initrd.sh', text: INITRD_PART },
  { path: 'boot/cloud.sh', text: CLOUD_PART, executable: true },
  { path: 'config.json', text: `${JSON.stringify(AGENT_CONFIG, undefined, 2)}\n` },
  { path: 'systemd/vm-agent.service', text: UNIT },
  { path: 'systemd/journald.conf', text: JOURNAL },
  { path: 'systemd/masked', text: `${MASKED.join('\n')}\n` },
];
