import { HubError } from '../../model/hub-error.js';
import { isName } from '../../model/names.js';
import { DISK_SERIALS, RUNTIME_MOUNT } from '../guest/disks.js';
import { fatDisk } from './fat-disk.js';

/** What the first boot of a machine from a cloud image is told. */
export interface SeedOptions {
  /** The machine's name. */
  readonly hostname: string;
  /** cloud-init takes a machine with another id for a new one. */
  readonly instanceId: string;
  /** Of its only network card, `52:54:00:…`; by it the card is found, whatever the guest calls it. */
  readonly macAddress: string;
}

const MAC_PATTERN = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/**
 * The seed disk of a cloud image (NoCloud: a FAT file system labelled CIDATA). Its user data mounts the runtime disk
 * and lets it start the agent; that happens at every boot and early (`bootcmd`), long before cloud-init is through.
 * It holds no secret.
 */
export function nocloudSeed(options: SeedOptions): Buffer {
  const { hostname, instanceId, macAddress } = options;
  if (!isName(hostname) || !isName(instanceId) || !MAC_PATTERN.test(macAddress)) {
    throw new HubError('INTERNAL', 'a seed needs a plain name, a plain id and a MAC address in lower case');
  }
  const userData = { users: [], disable_root: true, locale: false, bootcmd: [['sh', '-c', MOUNT_AND_START]] };
  const metaData = { 'instance-id': instanceId, 'local-hostname': hostname };
  const files = [
    // JSON is YAML.
    { name: 'user-data', text: `#cloud-config\n${JSON.stringify(userData)}\n` },
    { name: 'meta-data', text: `${JSON.stringify(metaData)}\n` },
    { name: 'network-config', text: `${JSON.stringify(networkConfig(macAddress))}\n` },
  ];
  return fatDisk(
    'CIDATA',
    files.map(({ name, text }) => ({ name, data: Buffer.from(text) })),
  );
}

/**
 * Version 1, because a match by name in version 2 is lost by cloud-init's own writer for systemd-networkd: it writes
 * `[Match] Name=` with the key of the entry, no card has that name, and the network stays down.
 */
function networkConfig(macAddress: string) {
  const subnet = {
    type: 'static',
    address: '10.0.2.15/24',
    gateway: '10.0.2.2',
    dns_nameservers: ['10.0.2.3'],
  };
  const card = { type: 'physical', name: 'eth0', mac_address: macAddress, subnets: [subnet] };
  return { version: 1, config: [card] };
}

const MOUNT_AND_START = `exec >/dev/console 2>&1
home=${RUNTIME_MOUNT}
mountpoint -q "$home" || for serial in /sys/block/*/serial; do
  [ "$(cat "$serial" 2>/dev/null)" = ${DISK_SERIALS.runtime} ] || continue
  disk=\${serial%/serial}
  mkdir -p "$home"
  mount -t ext4 -o ro,nodev,nosuid "/dev/\${disk##*/}" "$home"
done
if [ -r "$home/boot/cloud.sh" ]; then
  sh "$home/boot/cloud.sh"
else
  echo "vm-agent: no disk with the serial ${DISK_SERIALS.runtime}: the machine starts without an agent"
fi
`;
