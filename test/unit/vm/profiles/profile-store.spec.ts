import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createProfiles } from '../../../../src/app/providers.js';
import { homePaths } from '../../../../src/config/home.js';
import { HubError } from '../../../../src/model/hub-error.js';
import type { ProfileStore } from '../../../../src/vm/profiles/profile-store.js';

describe('ProfileStore', () => {
  let root: string;
  let store: ProfileStore;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'profiles-'));
    store = createProfiles(homePaths(root));
  });
  afterEach(() => rm(root, { recursive: true }));

  async function put(name: string, content: unknown): Promise<void> {
    await mkdir(join(root, 'profiles'), { recursive: true });
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(join(root, 'profiles', name), text);
  }

  const problem = (name: string) =>
    store.find(name).then(
      () => '',
      (err: unknown) => (err instanceof HubError ? `${err.fields[0]?.field}: ${err.message}` : String(err)),
    );

  it('has the built-in ones, with the resources that they had in the first system', async () => {
    const infos = await store.list();
    const rows = infos.map(({ name, builtIn, found }) => {
      const { cpu, memory, disk } = 'profile' in found ? found.profile.resources : {};
      return [name, builtIn, `${cpu}/${memory}/${disk}`];
    });
    expect(rows).to.deep.equal([
      ['builder', true, '4/8G/30G'],
      ['deployer', true, '2/4G/20G'],
      ['docker-host', true, '4/8G/40G'],
      ['researcher', true, '2/6G/25G'],
      ['tester', true, '2/4G/20G'],
    ]);
  });

  it("has the user's own ones, which win over built-in ones", async () => {
    await put('tester.json', { name: 'tester', packages: ['jq'] });
    await put('mine.json', { name: 'mine' });
    await put('notes.txt', 'no profile');
    await put('Bad Name.json', '{}');
    expect((await store.find('tester')).packages).to.deep.equal(['jq']);
    expect((await store.list()).filter((info) => !info.builtIn).map((info) => info.name)).to.deep.equal([
      'mine',
      'tester',
    ]);
  });

  it('names those that there are when asked for another', async () => {
    expect(await problem('nope')).to.match(/^profile: .*one of builder, deployer.*NAME\.json/);
    expect(await problem('../etc/passwd')).to.match(/one of builder/);
  });

  it('says what is wrong with a file, and still has the others', async () => {
    await put('broken.json', '{"name": ');
    await put('odd.json', { name: 'odd', packages: ['-x'] });
    await put('huge.json', ' '.repeat(4 * 1024 * 1024 + 1));
    expect(await problem('broken')).to.match(/broken\.json: .*JSON/);
    expect(await problem('odd')).to.match(/odd\.json: packages\[0\]/);
    expect(await problem('huge')).to.match(/larger than/);
    expect((await store.find('builder')).name).to.equal('builder');
  });
});
