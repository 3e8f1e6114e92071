import { chmod, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { ErrorReason } from '../../../../src/model/error-table.js';
import { HubError } from '../../../../src/model/hub-error.js';
import { ImageStore } from '../../../../src/vm/images/image-store.js';
import { addSmallImage } from '../../../support/small-image.js';

const signal = new AbortController().signal;
const nobody = async () => new Map<string, string[]>();

async function refusal(work: Promise<unknown>, reason: ErrorReason): Promise<string> {
  const err = await work.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (!(err instanceof HubError)) throw err;
  expect(err.reason).equal(reason);
  return err.message;
}

describe('ImageStore', () => {
  let store: ImageStore;

  beforeEach(async () => {
    store = new ImageStore(await mkdtemp(join(tmpdir(), 'images-')));
  });
  afterEach(() => rm(store.dir, { recursive: true, force: true }));

  /** Changes a file as somebody would who has the right to. */
  async function damage(path: string, how: (path: string) => Promise<unknown>): Promise<void> {
    await chmod(path, 0o644);
    await how(path);
  }

  it('is empty before its directory exists', async () => {
    await rm(store.dir, { recursive: true });
    expect(await store.list()).deep.equal([]);
    const message = await refusal(store.find('default'), 'IMAGE_NOT_FOUND');
    expect(message).equal('no image "default": there is none yet; make one with: vm-agent image build');
  });

  it('finds an image by name and by id', async () => {
    const { manifest, paths } = await addSmallImage(store, 'default');
    expect((await store.find('default')).manifest).deep.equal(manifest);
    expect((await store.find(manifest.id)).paths).deep.equal(paths);
    expect(await readFile(paths.disk, 'utf8')).equal('a disk');
    expect((await stat(paths.disk)).mode & 0o777).equal(0o444);
  });

  it('names the images that exist when one is unknown', async () => {
    await addSmallImage(store, 'b', '1');
    await addSmallImage(store, 'a', '2');
    const message = await refusal(store.find('c'), 'IMAGE_NOT_FOUND');
    expect(message).equal('no image "c": there are a, b; make one with: vm-agent image build --name c');
    expect(await refusal(store.find('../a'), 'IMAGE_NOT_FOUND')).contain('vm-agent image build');
  });

  it('keeps the same content once, under all of its names', async () => {
    const one = await addSmallImage(store, 'one');
    const two = await addSmallImage(store, 'two');
    expect(two.manifest.id).equal(one.manifest.id);
    const rows = await store.list();
    expect(rows.map(({ id, names }) => ({ id, names }))).deep.equal([
      { id: one.manifest.id, names: ['one', 'two'] },
    ]);
    expect((await readdir(store.dir)).filter((name) => name.startsWith('draft-'))).deep.equal([]);
  });

  it('moves a name to the newer image, and prunes the older one when no machine uses it', async () => {
    const old = (await addSmallImage(store, 'default', 'old')).manifest.id;
    const young = (await addSmallImage(store, 'default', 'young')).manifest.id;
    expect((await store.find('default')).manifest.id).equal(young);
    await store.prune(async () => new Map([[old, ['dev']]]), signal);
    expect((await store.list()).map(({ id, names }) => [id, names.join()])).deep.equal([
      [young, 'default'],
      [old, ''],
    ]);
    await store.prune(nobody, signal);
    expect((await store.list()).map(({ id }) => id)).deep.equal([young]);
  });

  describe('remove', () => {
    it('takes a name away, and the image with its last name', async () => {
      const { dir } = await addSmallImage(store, 'one');
      await addSmallImage(store, 'two');
      expect(await store.remove('one', nobody, signal)).equal(false);
      expect((await store.find('two')).dir).equal(dir);
      expect(await store.remove('two', nobody, signal)).equal(true);
      expect(await store.list()).deep.equal([]);
      expect((await readdir(store.dir)).filter((name) => !name.endsWith('.json'))).deep.equal([]);
    });

    it('takes an image away by its id, with all names', async () => {
      const { manifest } = await addSmallImage(store, 'one');
      await addSmallImage(store, 'two');
      expect(await store.remove(manifest.id, nobody, signal)).equal(true);
      expect(await store.list()).deep.equal([]);
    });

    it('refuses while machines use the image, naming them', async () => {
      const { manifest } = await addSmallImage(store, 'one');
      const uses = async () => new Map([[manifest.id, ['dev', 'test']]]);
      const message = await refusal(store.remove('one', uses, signal), 'IMAGE_IN_USE');
      expect(message).equal('image one is in use by dev, test; destroy them first');
      expect((await store.find('one')).manifest.id).equal(manifest.id);
    });

    it('refuses an unknown one', async () => {
      await refusal(store.remove('nope', nobody, signal), 'IMAGE_NOT_FOUND');
    });

    it('removes a broken image too', async () => {
      const { dir } = await addSmallImage(store, 'one');
      await rm(dir, { recursive: true });
      expect(await store.remove('one', nobody, signal)).equal(true);
      expect(await store.list()).deep.equal([]);
    });
  });

  describe('verify', () => {
    const damages: readonly (readonly [string, (path: string) => Promise<unknown>, RegExp])[] = [
      ['a truncated file', (path) => truncate(path, 3), /disk\.qcow2 has 3 bytes instead of 6/],
      ['a longer file', (path) => writeFile(path, 'a disk!'), /disk\.qcow2 has 7 bytes instead of 6/],
      ['a flipped byte', (path) => writeFile(path, 'a disc'), /disk\.qcow2 is not what it was/],
      ['a missing file', (path) => rm(path), /disk\.qcow2 is missing/],
    ];
    for (const [what, how, complaint] of damages) {
      it(`refuses ${what}, with the next step`, async () => {
        const { paths } = await addSmallImage(store, 'one');
        await damage(paths.disk, how);
        const message = await refusal(store.verify('one', signal), 'IMAGE_BROKEN');
        expect(message).match(complaint).contain('vm-agent image build --name one');
      });

      it(`refuses ${what} after it was verified once`, async () => {
        const { paths } = await addSmallImage(store, 'one');
        await store.verify('one', signal);
        await damage(paths.disk, how);
        await refusal(store.verify('one', signal), 'IMAGE_BROKEN');
        await refusal(new ImageStore(store.dir).verify('one', signal), 'IMAGE_BROKEN');
      });
    }

    it('sees a change whose date was set back', async () => {
      const { paths } = await addSmallImage(store, 'one');
      await store.verify('one', signal);
      const { atime, mtime } = await stat(paths.disk);
      await damage(paths.disk, (path) => writeFile(path, 'a disc'));
      await utimes(paths.disk, atime, mtime);
      await refusal(store.verify('one', signal), 'IMAGE_BROKEN');
    });

    it('does not read again what is untouched, also in another process', async () => {
      const { manifest, paths } = await addSmallImage(store, 'one');
      await store.verify('one', signal);
      // The memory is made to say that the damaged file was read as it is now: then nothing is read.
      const memory = join(store.dir, 'verified.json');
      const key = join(manifest.id, 'disk.qcow2');
      await damage(paths.disk, (path) => writeFile(path, 'a disc'));
      const { mtimeNs, ctimeNs, ino, dev } = await stat(paths.disk, { bigint: true });
      const known = JSON.parse(await readFile(memory, 'utf8'));
      known[key] = [manifest.files.disk.sha256, mtimeNs, ctimeNs, ino, dev].join(' ');
      await writeFile(memory, JSON.stringify(known));
      await new ImageStore(store.dir).verify('one', signal);
    });

    it('reads everything again when its memory is damaged', async () => {
      await addSmallImage(store, 'one');
      await writeFile(join(store.dir, 'verified.json'), '{"');
      await store.verify('one', signal);
    });

    it('heals a broken image when the same one is added again', async () => {
      const { paths } = await addSmallImage(store, 'one');
      await damage(paths.disk, (path) => writeFile(path, 'a disc'));
      await addSmallImage(store, 'one');
      await store.verify('one', signal);
    });
  });

  describe('a manifest', () => {
    const cases: readonly (readonly [string, (text: string) => string, RegExp])[] = [
      ['no JSON', () => '{', /image\.json is not JSON/],
      ['a newer schema', (text) => text.replace('"schema": 1', '"schema": 2'), /schema is unknown/],
      [
        'a path that leads out',
        (text) => text.replace('"disk.qcow2"', '"../x"'),
        /files\.disk cannot be read/,
      ],
      ['another hash', (text) => text.replace(/"sha256": "."?/, '"sha256": "'), /cannot be read/],
      ['another size', (text) => text.replace('4096', '8192'), /does not belong to this image/],
      ['no kernel', (text) => text.replace('"kernel": {', '"kernels": {'), /files\.kernel cannot be read/],
    ];
    for (const [what, change, complaint] of cases) {
      it(`is refused with ${what}`, async () => {
        const { dir } = await addSmallImage(store, 'one');
        const path = join(dir, 'image.json');
        const text = await readFile(path, 'utf8');
        await damage(path, () => writeFile(path, change(text)));
        expect(await refusal(store.find('one'), 'IMAGE_BROKEN')).match(complaint);
        const [row] = await store.list();
        expect(row?.problem).match(complaint);
      });
    }
  });

  it('refuses an index that cannot be read, and says where it is', async () => {
    await addSmallImage(store, 'one');
    for (const text of ['', 'null', '[', '{"names":{"x":"y"}}', '{"names":{"../x":1}}']) {
      await writeFile(join(store.dir, 'names.json'), text);
      expect(await refusal(store.list(), 'IMAGE_BROKEN')).contain(join(store.dir, 'names.json'));
    }
  });

  it('loses no name when several images are added at once', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `image-${i}`);
    await Promise.all(names.map((name) => addSmallImage(store, name, name)));
    expect((await store.list()).flatMap((row) => row.names)).deep.equal(names);
  });
});
