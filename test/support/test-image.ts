import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { arch, platform, userInfo } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.js';
import { packageRoot } from '../../src/base/package-root.js';
import { HubError } from '../../src/model/hub-error.js';
import { buildImage } from '../../src/vm/images/build-image.js';
import { ImageStore } from '../../src/vm/images/image-store.js';

/** Kept between runs; `make clean` removes it. */
const CACHE = join(packageRoot(), 'node_modules', '.cache', 'vm-agent', 'images');
/** What decides how an image comes out. */
const RECIPE_DIRS = ['src/vm/images', 'src/vm/guest'];
const NOT_PART = /^(boot-scripts|runtime-|nocloud|fat-disk|import|disk-info|image-names|verified)/;
/** Another suite may be building the same image. */
const WAIT_MS = 10 * 60_000;
const POLL_MS = 500;

let image: Promise<string | undefined> | undefined;

/**
 * A directory for {@link ImageStore} with a real image named `default`, built once and kept between runs. Undefined,
 * with one line that says why, where this host cannot build images. Takes a minute or two when it has to build.
 */
export function testImage(): Promise<string | undefined> {
  image ??= build().catch((err: unknown) => {
    const cannot =
      err instanceof HubError && (err.reason === 'TOOL_MISSING' || err.reason === 'NOT_SUPPORTED');
    if (!cannot) throw err;
    console.warn(`SKIPPED: everything that needs a real image: ${err.message}`);
    return undefined;
  });
  return image;
}

/** A directory of the cache for what is made by this recipe; those of older recipes are removed. */
export async function cacheFor(kind: string, recipe: string): Promise<string> {
  const prefix = `${kind}-`;
  const name = `${prefix}${createHash('sha256').update(recipe).digest('hex').slice(0, 16)}`;
  for (const old of await readdir(CACHE).catch(() => [])) {
    if (old.startsWith(prefix) && old !== name) await rm(join(CACHE, old), { recursive: true, force: true });
  }
  return join(CACHE, name);
}

async function build(): Promise<string> {
  if (platform() !== 'linux') throw new HubError('NOT_SUPPORTED', 'images are built on Linux only');
  const dir = await cacheFor('store', recipe());
  const store = new ImageStore(dir);
  const signal = AbortSignal.timeout(WAIT_MS);
  const { uid, username } = userInfo();
  for (;;) {
    if (existsSync(join(dir, 'names.json'))) {
      // One that is damaged is built again.
      const whole = await store.verify('default', signal).catch(() => undefined);
      if (whole !== undefined) return dir;
    }
    try {
      const options = { store, builder: { uid, name: username }, arch: arch(), env: process.env };
      console.warn('building a real image, which is kept for the next time');
      await buildImage(options, () => {}, signal);
    } catch (err) {
      if (!(err instanceof HubError) || err.reason !== 'ILLEGAL_STATE') throw err;
      await systemClock.sleep(POLL_MS, signal);
    }
  }
}

function recipe(): string {
  const files = RECIPE_DIRS.flatMap((dir) =>
    readdirSync(join(packageRoot(), dir))
      .filter((name) => !NOT_PART.test(name))
      .map((name) => join(packageRoot(), dir, name)),
  );
  return files.map((file) => readFileSync(file, 'utf8')).join('\0');
}
