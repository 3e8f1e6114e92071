import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HubError } from '../../../../src/model/hub-error.js';
import { refuseWithoutRoom, withDraft } from '../../../../src/vm/images/store-lock.js';

describe('withDraft', () => {
  let dir: string;

  beforeEach(async () => {
    dir = join(await mkdtemp(join(tmpdir(), 'draft-')), 'images');
  });
  afterEach(() => rm(join(dir, '..'), { recursive: true, force: true }));

  it('lends a new directory and removes it afterwards, also after an error', async () => {
    const seen: string[] = [];
    await withDraft(dir, async (draft) => {
      seen.push(draft);
      await writeFile(join(draft, 'x'), '');
    });
    const failed = withDraft(dir, async (draft) => {
      seen.push(draft);
      throw new Error('no');
    });
    expect(await failed.catch((err: Error) => err.message)).equal('no');
    expect(seen.map((draft) => existsSync(draft))).deep.equal([false, false]);
    expect(await readdir(dir)).deep.equal([]);
  });

  it('removes what was left by one that was killed, and nothing else', async () => {
    await mkdir(join(dir, 'draft-old', 'work'), { recursive: true });
    await mkdir(join(dir, `sha256-${'0'.repeat(64)}`));
    await writeFile(join(dir, '.draft.lock'), JSON.stringify({ pid: 2 ** 22 + 1 }));
    await withDraft(dir, async (draft) => {
      expect((await readdir(dir)).filter((name) => name.startsWith('draft-'))).deep.equal([
        draft.slice(dir.length + 1),
      ]);
    });
    expect(await readdir(dir)).deep.equal([`sha256-${'0'.repeat(64)}`]);
  });

  it('refuses a second one at the same time', async () => {
    await withDraft(dir, async (draft) => {
      const second = await withDraft(dir, async () => 'done').catch((err: unknown) => err);
      expect(second).instanceOf(HubError).property('reason', 'ILLEGAL_STATE');
      expect((second as HubError).message).contain(`pid ${process.pid}`);
      expect(existsSync(draft)).equal(true);
    });
  });

  it('says in our words that the disk is full', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
    const failed = await withDraft(dir, async () => {
      throw full;
    }).catch((err: unknown) => err);
    expect(failed).property('reason', 'DISK_FULL');
  });
});

describe('refuseWithoutRoom', () => {
  it('says what is needed and what there is', async () => {
    await refuseWithoutRoom(tmpdir(), 1);
    const err = await refuseWithoutRoom(tmpdir(), 1024 ** 6).catch((thrown: unknown) => thrown);
    expect(err).property('reason', 'DISK_FULL');
    expect((err as HubError).message).match(/takes 1099511627776 MiB .* has \d+ MiB free/);
  });
});
