import { rm } from 'node:fs/promises';
import { isErrno } from '../../../base/errno.js';
import { KeyedMutex } from '../../../base/keyed-mutex.js';
import { HubError } from '../../../model/hub-error.js';
import type { VmResources } from '../../../model/vm.js';
import { DEFAULT_IMAGE, type ImageStore, type StoredImage } from '../../images/image-store.js';
import type { MachineSpec, StageReport } from '../../provider.js';
import { staged } from '../staged.js';
import { makeDisk, makeVmDir } from './disk.js';
import {
  isOursOrNew,
  type MachinePaths,
  type MachineRecord,
  newRecord,
  readRecord,
  writeRecord,
} from './machine-record.js';
import { freeUser } from './machine-users.js';

/** Options of {@link MachineMaker}. */
export interface MakerOptions {
  readonly machinesDir: string;
  readonly images: ImageStore;
  /** Gives every machine a user of its own; only root can. */
  readonly ownUsers: boolean;
}

/** Makes the files of machines, and removes them. The caller serialises calls for one machine. */
export class MachineMaker {
  private readonly mutex = new KeyedMutex();

  constructor(private readonly options: MakerOptions) {}

  /**
   * Makes a machine's disk over its image. A half-made machine is completed; one that fails leaves nothing.
   *
   * @throws HubError IMAGE_NOT_FOUND, IMAGE_BROKEN, INVALID_FIELD, DISK_FULL, VM_FAILED.
   */
  async make(
    paths: MachinePaths,
    spec: MachineSpec,
    report: StageReport,
    signal: AbortSignal,
  ): Promise<void> {
    if (!(await isOursOrNew(paths))) throw foreign(paths);
    const half = await readRecord(paths);
    if (half?.made) return;
    checkMemory(spec.resources);
    const name = spec.image ?? DEFAULT_IMAGE;
    const image = await staged(report, 'image', name, () =>
      this.options.images.verify(half?.image ?? name, signal),
    );
    checkFits(spec, image);
    try {
      await staged(report, 'disk', `a disk over ${image.manifest.name}`, async () => {
        const { uid, ...record } = half ?? (await this.register(paths, spec, image));
        const owner = uid === undefined ? {} : { uid };
        await makeVmDir(paths, owner);
        const disk = { image: image.paths.disk, bytes: spec.resources.diskBytes, ...owner };
        await makeDisk(paths, disk, signal);
        await writeRecord(paths, { ...record, ...owner, spec, made: true });
      });
    } catch (err) {
      await this.remove(paths);
      throw fullDisk(paths, err);
    }
  }

  /** The marker goes last, so that what is left of an interrupted removal is known to be ours. */
  async remove(paths: MachinePaths): Promise<void> {
    if (!(await isOursOrNew(paths))) throw foreign(paths);
    for (const path of [paths.vm, paths.secret, paths.launchLog]) {
      await rm(path, { recursive: true, force: true });
    }
    await rm(paths.dir, { recursive: true, force: true });
  }

  /** Users are given out one at a time: the records say which are taken. */
  private register(paths: MachinePaths, spec: MachineSpec, image: StoredImage): Promise<MachineRecord> {
    const { ownUsers, machinesDir } = this.options;
    return this.mutex.run('users', async () => {
      const uid = ownUsers ? await freeUser(machinesDir) : undefined;
      return writeRecord(paths, newRecord(spec, image.manifest.id, uid));
    });
  }
}

/** What a person is told of a disk of the host that has no room. */
export function fullDisk(paths: MachinePaths, err: unknown): unknown {
  if (!isErrno(err, 'ENOSPC', 'EDQUOT')) return err;
  const message = `the host's disk is full: there is no room for ${paths.name}; make room and try again`;
  return new HubError('DISK_FULL', message, { metadata: { vm: paths.name }, cause: err });
}

/** Below this a guest does not come up, and nobody would learn why. */
const LEAST_MEMORY = 256 * 1024 ** 2;

/** @throws HubError INVALID_FIELD. */
export function checkResize(old: VmResources, next: VmResources): void {
  checkMemory(next);
  if (next.diskBytes >= old.diskBytes) return;
  const description = `a disk only grows; at least ${(old.diskBytes / 1024 ** 3).toFixed(1)}G, its size now`;
  throw HubError.invalid({ field: 'disk', description });
}

function checkMemory({ memoryBytes }: VmResources): void {
  if (memoryBytes >= LEAST_MEMORY) return;
  const description = `at least ${LEAST_MEMORY / 1024 ** 2}M, which a virtual machine needs to boot`;
  throw HubError.invalid({ field: 'memory', description });
}

/** @throws HubError INVALID_FIELD. */
function checkFits({ resources }: MachineSpec, { manifest }: StoredImage): void {
  const least = manifest.virtualSizeBytes;
  if (resources.diskBytes >= least) return;
  const description = `at least ${(least / 1024 ** 3).toFixed(1)}G, the size of the image ${manifest.name}`;
  throw HubError.invalid({ field: 'disk', description });
}

function foreign(paths: MachinePaths): HubError {
  const message = `the directory ${paths.dir} is not a machine of the qemu provider; move it away`;
  return new HubError('VM_FAILED', message, { metadata: { vm: paths.name } });
}
