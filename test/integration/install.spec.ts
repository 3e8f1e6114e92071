import { access, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type CommandResult, runCommand } from '../support/e2e/command.js';
import { ROOT } from '../support/e2e/hub-process.js';

describe('make install', () => {
  let user: string;
  let home: string;
  let prefix: string;

  beforeEach(async () => {
    user = await mkdtemp(join(tmpdir(), "vm-agent-install it's-"));
    home = join(user, '.openclaw', 'workspace', 'vm-agent-system');
    prefix = join(user, 'local');
  });
  afterEach(() => rm(user, { recursive: true, force: true }));

  function install(...args: readonly string[]): Promise<CommandResult> {
    const env = { PATH: process.env.PATH, HOME: user, PREFIX: prefix };
    return runCommand(join(ROOT, 'scripts', 'install.sh'), args, { env });
  }

  async function isThere(path: string): Promise<boolean> {
    return access(path).then(
      () => true,
      () => false,
    );
  }

  it('puts vm-agent on PATH and the documented folders under a private home', async () => {
    const result = await install();
    expect(result.exitCode, result.stderr).to.equal(0);
    const path = join(prefix, 'bin', 'vm-agent');
    expect(await readFile(path, 'utf8')).to.include(join(ROOT, 'cli', 'vm-agent'));
    expect((await stat(home)).mode & 0o777).to.equal(0o700);
    for (const name of ['README.md', 'ARCHITECTURE.md', 'cli/vm-agent']) {
      expect(await isThere(join(home, name)), name).to.equal(true);
    }
    const hub = JSON.parse(await readFile(join(home, 'hub', 'package.json'), 'utf8'));
    expect(hub.scripts.start).to.equal('exec ../cli/vm-agent hub');
  });

  it('may be run again', async () => {
    await install();
    const again = await install();
    expect(again.exitCode, again.stderr).to.equal(0);
  });

  it('says when the folder is not on PATH', async () => {
    expect((await install()).stdout).to.match(/not on PATH/);
  });

  it('refuses a home that holds another checkout, and touches nothing', async () => {
    await mkdir(join(home, 'hub'), { recursive: true });
    await writeFile(join(home, 'hub', 'package.json'), 'theirs');
    const result = await install();
    expect(result.exitCode).to.equal(1);
    expect(result.stderr)
      .to.include(home)
      .and.to.match(/hint: /);
    expect(await readFile(join(home, 'hub', 'package.json'), 'utf8')).to.equal('theirs');
    expect(await isThere(join(prefix, 'bin', 'vm-agent'))).to.equal(false);
  });

  it('takes a home that holds only what a hub keeps there', async () => {
    await mkdir(join(home, 'data'), { recursive: true });
    expect((await install()).exitCode).to.equal(0);
  });

  it('refuses to replace another program', async () => {
    await mkdir(join(prefix, 'bin'), { recursive: true });
    await writeFile(join(prefix, 'bin', 'vm-agent'), 'theirs');
    const result = await install();
    expect(result.exitCode).to.equal(1);
    expect(result.stderr).to.match(/another program/);
    expect(await isThere(home)).to.equal(false);
  });

  it('takes back what it made and leaves the data', async () => {
    await install();
    await mkdir(join(home, 'data'));
    const result = await install('--uninstall');
    expect(result.exitCode, result.stderr).to.equal(0);
    expect(await isThere(join(prefix, 'bin', 'vm-agent'))).to.equal(false);
    expect(await isThere(join(home, 'hub'))).to.equal(false);
    expect(await isThere(join(home, 'data'))).to.equal(true);
  });
});
