import { randomUUID } from 'node:crypto';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncPath } from '../../base/durable-file.js';
import { isErrno } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';
import { checkName, isName } from '../../model/names.js';
import { type ImageNames, readNames, writeNames } from './image-names.js';
import {
  filesOf,
  type ImageManifest,
  type ImageRole,
  isImageId,
  MANIFEST_FILE,
  parseManifest,
} from './manifest.js';
import { DRAFT_PREFIX, withStoreLock } from './store-lock.js';
import { VerifiedFiles } from './verified-files.js';

/** The image of machines for which none was asked. */
export const DEFAULT_IMAGE = 'default';

/** An image in a store. */
export interface StoredImage {
  readonly manifest: ImageManifest;
  readonly dir: string;
  /** Absolute paths of its files. */
  readonly paths: Readonly<Partial<Record<ImageRole, string>>> & { readonly disk: string };
}

/** One row of {@link ImageStore.list}. */
export interface ListedImage {
  readonly id: string;
  /** All its names, sorted; empty when it was replaced under its name and machines still use it. */
  readonly names: readonly string[];
  readonly image?: StoredImage;
  /** Why it cannot be used; absent when {@link image} is there. */
  readonly problem?: string;
}

/** Which machines use which image: machine names by image id. */
export type ImageUses = ReadonlyMap<string, readonly string[]>;

/** Asks who uses what, when an image is about to go. */
export type ImageUsesSource = () => Promise<ImageUses>;

/**
 * Disk images in a directory. An image is a directory named by the hash of its content, which never changes once it
 * is there: it is written aside and put in place as a whole. Names are kept in an index beside them.
 */
export class ImageStore {
  private readonly verified: VerifiedFiles;

  constructor(readonly dir: string) {
    this.verified = new VerifiedFiles(dir);
  }

  /** All images, by name; those without a name and broken ones too. */
  async list(): Promise<readonly ListedImage[]> {
    const names = await readNames(this.dir);
    const ids = new Set([...(await this.ids()), ...names.values()]);
    const rows = await Promise.all([...ids].map((id) => this.row(id, namesOf(names, id))));
    return rows.sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
  }

  /**
   * The image with this name or id. Its files are not read, see {@link verify}.
   *
   * @throws HubError IMAGE_NOT_FOUND naming those that exist, IMAGE_BROKEN.
   */
  async find(nameOrId: string): Promise<StoredImage> {
    const names = await readNames(this.dir);
    const id = names.get(nameOrId) ?? (isImageId(nameOrId) ? nameOrId : undefined);
    const row = id === undefined ? undefined : await this.row(id, namesOf(names, id));
    if (row === undefined || (row.problem === GONE && row.names.length === 0)) throw unknown(nameOrId, names);
    if (row.image === undefined) throw broken(nameOrId, row.id, row.problem ?? '');
    return row.image;
  }

  /**
   * Checks every file of an image against its hash; quick when they were checked before and are untouched.
   *
   * @throws HubError IMAGE_NOT_FOUND, IMAGE_BROKEN.
   */
  async verify(nameOrId: string, signal: AbortSignal): Promise<StoredImage> {
    const image = await this.find(nameOrId);
    const { id } = image.manifest;
    for (const [, file] of filesOf(image.manifest)) {
      const problem = await this.verified.problemOf(id, file, signal);
      if (problem !== undefined) throw broken(nameOrId, id, `${file.path} ${problem}`);
    }
    return image;
  }

  /**
   * Takes in a directory that holds a complete image, and gives it its name. The same content twice is one image.
   *
   * @param draft directory on the same file system with the image's files and its `image.json`; gone afterwards.
   */
  async add(draft: string, manifest: ImageManifest, signal: AbortSignal): Promise<StoredImage> {
    const name = checkName('name', manifest.name);
    for (const [, file] of filesOf(manifest)) await syncPath(join(draft, file.path));
    await syncPath(draft);
    return withStoreLock(this.dir, signal, async () => {
      await this.place(draft, manifest.id, signal);
      await writeNames(this.dir, new Map([...(await readNames(this.dir)), [name, manifest.id]]));
      return this.find(name);
    });
  }

  /**
   * Takes a name away, and the image with it when it has no other name.
   *
   * @returns whether the image itself is gone.
   * @throws HubError IMAGE_NOT_FOUND, IMAGE_IN_USE naming the machines.
   */
  async remove(nameOrId: string, uses: ImageUsesSource, signal: AbortSignal): Promise<boolean> {
    await this.idOf(nameOrId);
    return withStoreLock(this.dir, signal, async () => {
      const id = await this.idOf(nameOrId);
      const names = await readNames(this.dir);
      const taken = nameOrId === id ? namesOf(names, id) : [nameOrId];
      const left = new Map([...names].filter(([name]) => !taken.includes(name)));
      const goes = namesOf(left, id).length === 0;
      if (goes) refuseInUse(nameOrId, id, await uses());
      await writeNames(this.dir, left);
      if (goes) await this.discard(id);
      return goes;
    });
  }

  /** Removes images without a name that no machine uses. */
  async prune(uses: ImageUsesSource, signal: AbortSignal): Promise<void> {
    await withStoreLock(this.dir, signal, async () => {
      const named = new Set((await readNames(this.dir)).values());
      const used = await uses();
      for (const id of await this.ids()) {
        if (!named.has(id) && !used.has(id)) await this.discard(id);
      }
    });
  }

  /** The id behind a name or an id, also of a broken image. @throws HubError IMAGE_NOT_FOUND. */
  private async idOf(nameOrId: string): Promise<string> {
    const names = await readNames(this.dir);
    const id = names.get(nameOrId);
    if (id !== undefined) return id;
    if ((await this.ids()).includes(nameOrId)) return nameOrId;
    throw unknown(nameOrId, names);
  }

  private async ids(): Promise<readonly string[]> {
    try {
      return (await readdir(this.dir)).filter(isImageId);
    } catch (err) {
      if (isErrno(err, 'ENOENT')) return [];
      throw err;
    }
  }

  private async row(id: string, names: readonly string[]): Promise<ListedImage> {
    const dir = join(this.dir, id);
    try {
      const manifest = parseManifest(await readFile(join(dir, MANIFEST_FILE), 'utf8'), id);
      if (typeof manifest === 'string') return { id, names, problem: manifest };
      const paths = filesOf(manifest).map(([role, file]) => [role, join(dir, file.path)]);
      return {
        id,
        names,
        image: { manifest, dir, paths: Object.fromEntries(paths) as StoredImage['paths'] },
      };
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'ENOTDIR')) throw err;
      return { id, names, problem: GONE };
    }
  }

  /** Puts a complete image in place, unless the same one is there and whole. */
  private async place(draft: string, id: string, signal: AbortSignal): Promise<void> {
    if ((await this.ids()).includes(id)) {
      const whole = await this.verify(id, signal).catch((err: unknown) => {
        if (err instanceof HubError) return undefined;
        throw err;
      });
      if (whole !== undefined) return rm(draft, { recursive: true, force: true });
      await this.discard(id);
    }
    await rename(draft, join(this.dir, id));
    await syncPath(this.dir);
  }

  /** Takes an image out of sight first, so that nobody sees half of one. */
  private async discard(id: string): Promise<void> {
    const aside = join(this.dir, `${DRAFT_PREFIX}${randomUUID()}`);
    await rename(join(this.dir, id), aside).catch((err: unknown) => {
      if (!isErrno(err, 'ENOENT')) throw err;
    });
    await rm(aside, { recursive: true, force: true });
    await this.verified.forget(id);
  }
}

const GONE = 'its files are missing';

function namesOf(names: ImageNames, id: string): readonly string[] {
  return [...names].flatMap(([name, target]) => (target === id ? [name] : [])).sort();
}

function sortKey({ id, names }: ListedImage): string {
  return names[0] ?? `~${id}`;
}

function unknown(name: string, names: ImageNames): HubError {
  const known = [...names.keys()].sort();
  const list = known.length === 0 ? 'there is none yet' : `there are ${known.join(', ')}`;
  const message = `no image "${name}": ${list}; make one with: ${buildCommand(isName(name) ? name : DEFAULT_IMAGE)}`;
  return new HubError('IMAGE_NOT_FOUND', message, { metadata: { image: name, known: known.join(',') } });
}

function broken(name: string, id: string, problem: string): HubError {
  const message = `image ${name} cannot be used: ${problem}; make it again with: ${buildCommand(isName(name) ? name : DEFAULT_IMAGE)} (or import it again)`;
  return new HubError('IMAGE_BROKEN', message, { metadata: { image: name, id, problem } });
}

function buildCommand(name: string): string {
  return name === DEFAULT_IMAGE ? 'vm-agent image build' : `vm-agent image build --name ${name}`;
}

function refuseInUse(name: string, id: string, uses: ImageUses): void {
  const machines = uses.get(id) ?? [];
  if (machines.length === 0) return;
  const shown = machines.slice(0, 10).join(', ') + (machines.length > 10 ? ', …' : '');
  const message = `image ${name} is in use by ${shown}; destroy ${machines.length === 1 ? 'it' : 'them'} first`;
  throw new HubError('IMAGE_IN_USE', message, {
    metadata: { image: name, id, machines: machines.join(',') },
  });
}
