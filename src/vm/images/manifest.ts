import { createHash } from 'node:crypto';

/** Name of the description inside an image's directory. */
export const MANIFEST_FILE = 'image.json';

/**
 * How an image starts. `direct`: made by us; kernel and initrd lie beside the disk. `cloud`: an ordinary cloud image
 * with its own bootloader and cloud-init.
 */
export type ImageKind = 'direct' | 'cloud';

/** Which file of an image. */
export type ImageRole = 'disk' | 'kernel' | 'initrd';

/** One file of an image. */
export interface ImageFile {
  /** Name inside the image's directory. */
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** What `image.json` says. Never changes once the image is in the store. */
export interface ImageManifest {
  readonly schema: 1;
  /** Its first name. */
  readonly name: string;
  /** `sha256-` and the hash of what it is made of, see {@link imageId}. */
  readonly id: string;
  readonly kind: ImageKind;
  /** As `uname -m` says it. */
  readonly arch: string;
  readonly createMs: number;
  readonly description: string;
  /** Size of the disk as the machine sees it; a machine's disk is never smaller. */
  readonly virtualSizeBytes: number;
  /** Debian suite; absent for imported ones. */
  readonly suite?: string;
  /** Packages that were asked for besides the usual ones; absent for imported ones. */
  readonly packages?: readonly string[];
  readonly files: { readonly disk: ImageFile; readonly kernel?: ImageFile; readonly initrd?: ImageFile };
}

const ID_PATTERN = /^sha256-[0-9a-f]{64}$/;
const HASH_PATTERN = /^[0-9a-f]{64}$/;
const FILE_PATTERN = /^[a-z0-9][a-z0-9.-]{0,63}$/;
const ROLES: readonly ImageRole[] = ['disk', 'kernel', 'initrd'];

/** Whether a text can be the id of an image. */
export function isImageId(text: string): boolean {
  return ID_PATTERN.test(text);
}

/** The id of an image: a hash of what a machine sees of it. Name, description and date do not count. */
export function imageId(manifest: Omit<ImageManifest, 'id'>): string {
  const files = ROLES.map((role) => {
    const file = manifest.files[role];
    return file === undefined ? null : [role, file.path, file.sha256, file.bytes];
  });
  const content = [manifest.schema, manifest.kind, manifest.arch, manifest.virtualSizeBytes, files];
  return `sha256-${createHash('sha256').update(JSON.stringify(content)).digest('hex')}`;
}

/** The files of an image with their roles. */
export function filesOf(
  manifest: Pick<ImageManifest, 'files'>,
): readonly (readonly [ImageRole, ImageFile])[] {
  return ROLES.flatMap((role) => {
    const file = manifest.files[role];
    return file === undefined ? [] : [[role, file] as const];
  });
}

/**
 * Reads an `image.json`.
 *
 * @returns the manifest, or a sentence about what is wrong with it.
 */
export function parseManifest(text: string, id: string): ImageManifest | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `${MANIFEST_FILE} is not JSON`;
  }
  const problem = problemOf(value);
  if (problem !== undefined) return `${MANIFEST_FILE}: ${problem}`;
  const manifest = value as ImageManifest;
  if (manifest.id !== id || imageId(manifest) !== id) return `${MANIFEST_FILE} does not belong to this image`;
  return manifest;
}

function problemOf(value: unknown): string | undefined {
  if (!isRecord(value)) return 'it is no object';
  if (value.schema !== 1) return 'its schema is unknown to this version';
  const texts = ['name', 'id', 'arch', 'description'].filter((key) => typeof value[key] !== 'string');
  const counts = ['createMs', 'virtualSizeBytes'].filter((key) => !isCount(value[key]));
  const bad = [...texts, ...counts];
  if (value.kind !== 'direct' && value.kind !== 'cloud') bad.push('kind');
  if (!isRecord(value.files)) return 'files are missing';
  const { files, kind } = value;
  const needed: readonly ImageRole[] = kind === 'direct' ? ROLES : ['disk'];
  for (const role of ROLES) {
    if (needed.includes(role) ? !isFile(files[role]) : files[role] !== undefined) bad.push(`files.${role}`);
  }
  return bad.length === 0 ? undefined : `${bad.join(', ')} cannot be read`;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isFile(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { path, sha256, bytes } = value;
  const named = typeof path === 'string' && FILE_PATTERN.test(path) && path !== MANIFEST_FILE;
  return named && typeof sha256 === 'string' && HASH_PATTERN.test(sha256) && isCount(bytes);
}
