import { HubError } from '../../../model/hub-error.js';
import { isName } from '../../../model/names.js';
import { CONTROL_PORT, DISK_SERIALS } from '../../guest/disks.js';
import type { Hardware } from './machine-record.js';

/** Places as QEMU sees them. */
export interface QemuView {
  /** The machine's own files. */
  readonly vm: string;
  /** Its sockets and pid file. */
  readonly run: string;
  /** Unix socket of the agent door. */
  readonly door: string;
  /** Disk that the machine's disk is laid over. */
  readonly image: string;
  readonly runtime?: string;
  /** Both for own images, none for images with a boot loader. */
  readonly kernel?: string;
  readonly initrd?: string;
}

/** A machine for {@link qemuArguments}. */
export interface QemuPlan {
  readonly name: string;
  readonly uuid: string;
  readonly mac: string;
  readonly hardware: Hardware;
  readonly view: QemuView;
  readonly files: { readonly disk: string; readonly boot: string; readonly seed?: string };
  /** Whether the machine may use the network around QEMU. */
  readonly open: boolean;
  /** Starts it paused, for memory to be loaded. */
  readonly paused: boolean;
  /** Descriptor that takes the console. */
  readonly consoleFd: number;
  /** Whether QEMU runs on Linux, where it can filter its system calls. */
  readonly sandbox: boolean;
}

/** Names of files in {@link QemuView.run}. */
export const RUN_FILES = { qmp: 'qmp', control: 'control', pid: 'pid' } as const;
/** Node names of the disks. */
export const NODES = {
  root: 'root',
  image: 'image',
  runtime: 'runtime',
  boot: 'boot',
  seed: 'seed',
} as const;

/** Where the guest finds the agent door. */
export const GUEST_DOOR = '10.0.2.100:9090';

const MIB = 1024 ** 2;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;
/** A kernel that panics starts again, as a machine should that nobody looks at. */
const KERNEL_ARGUMENTS = 'console=ttyS0 quiet loglevel=3 panic=5';
/**
 * An emulated processor does not speculate; to guard against it costs a sixth of all time there. And the kernel must not
 * test whether its timer ticks: on a busy host the ticks come late, and it gives up for good ("IO-APIC + timer doesn't
 * work!", one boot of 25 with six at once on two processors).
 */
const EMULATED = ' mitigations=off no_timer_check';

/**
 * The command line of a machine's QEMU, without the program itself. Nothing in it is secret, and every value that
 * comes from outside was checked or stands in a place where it can have no meaning.
 *
 * @throws HubError INVALID_FIELD for a name or a path that could change the meaning of an option.
 */
export function qemuArguments(plan: QemuPlan): readonly string[] {
  const { hardware, view } = plan;
  const run = (file: string) => comma(checkPath('run', `${view.run}/${file}`));
  return [
    ...['-name', `guest=${checked('name', plan.name, isName)}`, '-uuid', checked('uuid', plan.uuid, isUuid)],
    ...['-no-user-config', '-nodefaults', '-display', 'none', '-daemonize'],
    ...['-machine', `${comma(hardware.machine)},accel=${hardware.acceleration}`],
    ...['-cpu', CPU_MODELS[hardware.acceleration], '-smp', String(hardware.cpu)],
    ...['-m', `size=${Math.floor(hardware.memoryBytes / MIB)}M`, '-rtc', 'base=utc'],
    ...(plan.sandbox ? ['-sandbox', 'on,obsolete=deny,resourcecontrol=deny'] : []),
    ...['-pidfile', checkPath('run', `${view.run}/${RUN_FILES.pid}`)],
    ...['-chardev', `socket,id=qmp,path=${run(RUN_FILES.qmp)},server=on,wait=off`],
    ...['-mon', 'chardev=qmp,mode=control'],
    ...['-add-fd', `fd=${plan.consoleFd},set=1`],
    ...['-chardev', 'file,id=console,path=/dev/fdset/1,append=on', '-serial', 'chardev:console'],
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=control,path=${run(RUN_FILES.control)},server=on,wait=off`],
    ...['-device', `virtserialport,chardev=control,name=${CONTROL_PORT}`],
    ...diskArguments(plan),
    ...networkArguments(plan),
    ...kernelArguments(view, hardware.acceleration),
    ...(plan.paused ? ['-S'] : []),
  ];
}

const CPU_MODELS = { kvm: 'host', hvf: 'host', tcg: 'Nehalem' } as const;

function diskArguments({ view, files }: QemuPlan): readonly string[] {
  const file = (path: string) => ({ driver: 'file', filename: checkPath('disk', path) });
  const image = { 'node-name': NODES.image, driver: 'qcow2', 'read-only': true, file: file(view.image) };
  const root = {
    'node-name': NODES.root,
    driver: 'qcow2',
    discard: 'unmap',
    'detect-zeroes': 'unmap',
    file: { ...file(files.disk), discard: 'unmap' },
    backing: image,
  };
  const raw = (node: string, path: string) => ({
    'node-name': node,
    driver: 'raw',
    'read-only': true,
    file: file(path),
  });
  const disk = (node: string, blockdev: object, more: string) => [
    ...['-blockdev', JSON.stringify(blockdev)],
    ...['-device', `virtio-blk-pci,drive=${node},werror=stop,rerror=stop,${more}`],
  ];
  return [
    ...disk(NODES.root, root, `serial=${DISK_SERIALS.root},bootindex=1`),
    ...(view.runtime === undefined
      ? []
      : disk(NODES.runtime, raw(NODES.runtime, view.runtime), `serial=${DISK_SERIALS.runtime}`)),
    ...disk(NODES.boot, raw(NODES.boot, files.boot), `serial=${DISK_SERIALS.boot}`),
    ...(files.seed === undefined ? [] : disk(NODES.seed, raw(NODES.seed, files.seed), 'serial=vma-seed')),
  ];
}

/** The relay is words of an option, split by QEMU as a shell would split them, and run without one. */
function networkArguments({ view, open, mac }: QemuPlan): readonly string[] {
  const relay = `socat - UNIX-CONNECT:${checked('door', view.door, isPlainPath)}`;
  const restrict = open ? 'restrict=off' : 'restrict=on';
  const forward = `guestfwd=${comma(`tcp:${GUEST_DOOR}-cmd:${relay}`)}`;
  return [
    ...['-netdev', `user,id=net,ipv6=off,${restrict},${forward}`],
    ...['-device', `virtio-net-pci,netdev=net,romfile=,mac=${checked('mac', mac, isMac)}`],
  ];
}

function kernelArguments(
  { kernel, initrd }: QemuView,
  acceleration: keyof typeof CPU_MODELS,
): readonly string[] {
  if (kernel === undefined || initrd === undefined) return [];
  const files = ['-kernel', checkPath('kernel', kernel), '-initrd', checkPath('initrd', initrd)];
  return [...files, '-append', `${KERNEL_ARGUMENTS}${acceleration === 'tcg' ? EMULATED : ''}`];
}

/** Doubles the commas of an option's value, so that they end nothing. */
export function comma(value: string): string {
  return value.replaceAll(',', ',,');
}

/** A path is absolute and has no control characters; a dash in front or a colon would mean something. */
function checkPath(field: string, path: string): string {
  return checked(field, path, isPath);
}

function isPath(path: string): boolean {
  return path.startsWith('/') && !/\p{Cc}/u.test(path);
}

/** The relay's address goes through two more readers, so that only plain letters may be in it. */
function isPlainPath(path: string): boolean {
  return /^\/[\w./-]+$/.test(path);
}

function isUuid(text: string): boolean {
  return UUID.test(text);
}

function isMac(text: string): boolean {
  return MAC.test(text);
}

function checked(field: string, value: string, isGood: (value: string) => boolean): string {
  if (isGood(value)) return value;
  const description = `${JSON.stringify(value.slice(0, 120))} cannot be part of a machine's command line`;
  throw HubError.invalid({ field, description });
}
