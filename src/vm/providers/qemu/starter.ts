import type { Clock } from '../../../base/clock.js';
import { HubError } from '../../../model/hub-error.js';
import type { ImageStore, StoredImage } from '../../images/image-store.js';
import type { Acceleration, BootInfo } from '../../provider.js';
import { wokenMessage } from './boot-disk.js';
import { sendToGuest } from './control-channel.js';
import type { QemuHost } from './host.js';
import { type Hardware, type MachinePaths, type MachineRecord, writeRecord } from './machine-record.js';
import type { MachineRunner } from './machine-runner.js';
import { known } from './snapshots.js';

/** What {@link Starter} works with. */
export interface StarterOptions {
  readonly runner: MachineRunner;
  readonly images: ImageStore;
  /** Path of the runtime disk for machines that start now. */
  readonly runtimeDisk: (signal: AbortSignal) => Promise<string>;
  readonly acceleration: (image: StoredImage, signal: AbortSignal) => Promise<Acceleration>;
  readonly clock: Clock;
}

/** A machine to be started. */
export interface Startable {
  readonly paths: MachinePaths;
  readonly record: MachineRecord;
  readonly host: QemuHost;
  readonly boot: BootInfo;
}

/** Most time for ending a machine whose memory could not be woken. */
const CLEANUP_MS = 30_000;

/** Starts machines: from their disk, or from the memory of a snapshot. */
export class Starter {
  constructor(private readonly options: StarterOptions) {}

  /** @throws HubError IMAGE_NOT_FOUND, IMAGE_BROKEN, VM_FAILED. */
  async start(machine: Startable, signal: AbortSignal): Promise<void> {
    const { record } = machine;
    const image = await this.options.images.verify(record.image, signal);
    const { kind } = await this.options.acceleration(image, signal);
    const snapshot = record.wake === undefined ? undefined : known(record, record.spec.name, record.wake);
    if (snapshot?.hardware !== undefined) {
      checkAcceleration(snapshot.name, snapshot.hardware, kind);
      return this.wake(machine, { image, hardware: snapshot.hardware, snapshot: snapshot.name }, signal);
    }
    const { cpu, memoryBytes } = record.spec.resources;
    const hardware: Hardware = {
      machine: machineType(machine.host.version),
      acceleration: kind,
      cpu,
      memoryBytes,
      runtime: await this.options.runtimeDisk(signal),
    };
    const { wake: _, ...rest } = record;
    const next = await writeRecord(machine.paths, { ...rest, hardware });
    await this.options.runner.start({ ...machine, record: next, hardware, image, paused: false }, signal);
  }

  /** The memory is told who it is now before it runs at all, so that nothing old is done. */
  private async wake(
    machine: Startable,
    memory: { readonly image: StoredImage; readonly hardware: Hardware; readonly snapshot: string },
    signal: AbortSignal,
  ): Promise<void> {
    const { runner, clock } = this.options;
    const { paths, record } = machine;
    const { image, hardware, snapshot } = memory;
    const boot = await runner.start({ ...machine, hardware, image, paused: true }, signal);
    try {
      const monitor = runner.monitor(record);
      await monitor.loadSnapshot(snapshot, clock, signal);
      using sent = await sendToGuest(runner.controlSocket(record), wokenMessage(boot, clock.now()));
      await monitor.growDisk(record.spec.resources.diskBytes, signal);
      await monitor.resume(signal);
      await sent.done(signal);
      const { wake: _, ...rest } = record;
      await writeRecord(paths, { ...rest, hardware });
    } catch (err) {
      await runner.kill(record, AbortSignal.timeout(CLEANUP_MS));
      throw err;
    }
  }
}

/** A machine type with a version stays the same when QEMU becomes newer, and with it what memory needs. */
function machineType(version: string): string {
  const [major, minor] = version.split('.');
  return `pc-q35-${major}.${minor}`;
}

function checkAcceleration(snapshot: string, hardware: Hardware, kind: Acceleration['kind']): void {
  if (hardware.acceleration === kind) return;
  const message = `the memory of ${snapshot} was saved with ${hardware.acceleration}, and this host has ${kind} now; restore a snapshot of a stopped machine instead`;
  throw new HubError('VM_FAILED', message, { metadata: { snapshot } });
}
