import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { BOOT_SCRIPTS } from '../../../../src/vm/guest/boot-scripts.js';
import { INITRD_INIT } from '../../../../src/vm/guest/initrd-init.js';
import { ensureRuntimeDisk, type RuntimeDisk } from '../../../../src/vm/guest/runtime-disk.js';
import { SmallDisk } from '../../../support/small-disk.js';

const signal = new AbortController().signal;
const missing = ['/usr/sbin/mke2fs', '/sbin/mke2fs'].some((path) => existsSync(path)) ? '' : 'e2fsprogs';
if (missing !== '') console.log(`SKIPPED: runtime disks of virtual machines (${missing} is missing)`);

/** What debugfs says of a disk. */
function ask(path: string, command: string): string {
  const env = { PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  return execFileSync('debugfs', ['-R', command, path], { encoding: 'utf8', stdio: 'pipe', env });
}

describe('ensureRuntimeDisk', () => {
  let dir: string;
  let agentProgram: string;
  let nodePath: string;

  beforeEach(function () {
    if (missing !== '') return this.skip();
    dir = mkdtempSync(join(tmpdir(), 'runtime-'));
    chmodSync(dir, 0o755);
    agentProgram = put('dist/agent.mjs', 'agent');
    nodePath = put('prefix/bin/node', '#!/bin/sh\n', 0o755);
    put('prefix/lib/node_modules/npm/bin/npm-cli.js', 'npm', 0o755);
    put('prefix/lib/node_modules/npm/bin/npx-cli.js', 'npx', 0o755);
    put('prefix/lib/node_modules/npm/docs/a.html', 'for people');
    put('dist/node_modules/@lydell/node-pty/index.js', '');
    put('dist/node_modules/@lydell/node-pty/package.json', '{"main":"index.js"}');
    put('dist/node_modules/@lydell/node-pty-linux-x64/pty.node', 'native');
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  function put(path: string, text: string, mode = 0o644): string {
    const file = join(dir, path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, text);
    chmodSync(file, mode);
    return file;
  }

  function ensure(into = join(dir, 'runtime')): Promise<RuntimeDisk> {
    return ensureRuntimeDisk({ dir: into, agentProgram, nodePath }, signal);
  }

  it("holds Node.js, npm, the agent with its native module, and what boots it; all of it is root's", async () => {
    const { path } = await ensure();
    expect(ask(path, 'cat /agent/agent.mjs')).to.equal('agent');
    expect(ask(path, 'cat /agent/node_modules/@lydell/node-pty-linux-x64/pty.node')).to.equal('native');
    expect(ask(path, 'cat /lib/node_modules/npm/npmrc')).to.equal('prefix = /usr/local\n');
    expect(ask(path, 'stat /bin/node')).to.match(/Mode:\s+0755[\s\S]*User:\s+0\s+Group:\s+0/);
    expect(ask(path, 'stat /bin/npm')).to.include('../lib/node_modules/npm/bin/npm-cli.js');
    expect(ask(path, 'ls /lib/node_modules/npm')).to.not.include('docs');
    expect(ask(path, 'cat /systemd/vm-agent.service')).to.include('KillMode=process');
    expect(JSON.parse(ask(path, 'cat /config.json'))).to.include({ taskUser: 'agent', bootDisk: 'vma-boot' });
    expect(statSync(path).mode & 0o777).to.equal(0o444);
    execFileSync('e2fsck', ['-fn', path], { stdio: 'pipe', env: { PATH: '/usr/sbin:/sbin' } });
  });

  it('is made once for each content', async () => {
    const [first, other] = await Promise.all([ensure(), ensure()]);
    expect([other.path, other.id]).to.deep.equal([first.path, first.id]);
    const { mtimeMs, ino } = statSync(first.path);
    expect(await ensure()).to.deep.equal({ ...first, made: false });
    expect(statSync(first.path)).to.include({ mtimeMs, ino });
    writeFileSync(agentProgram, 'another agent');
    const next = await ensure();
    expect(next.id).to.not.equal(first.id);
    expect(next.made).to.equal(true);
    expect(existsSync(first.path), 'machines that run may have it').to.equal(true);
    writeFileSync(agentProgram, 'agent');
    expect(await ensure()).to.deep.equal({ ...first, made: false });
    expect(readdirSync(join(dir, 'runtime')).filter((name) => name.startsWith('.'))).to.deep.equal([]);
  });

  it('is made anew when it was removed', async () => {
    const { path, id } = await ensure();
    rmSync(join(path, '..'), { recursive: true });
    expect(await ensure()).to.deep.equal({ path, id, made: true });
    expect(existsSync(path)).to.equal(true);
  });

  it("needs no rights: everything is root's, whoever made it", function () {
    if (process.getuid?.() !== 0) return this.skip();
    const into = join(dir, 'of-nobody');
    mkdirSync(into);
    chmodSync(into, 0o777);
    const script = `import { ensureRuntimeDisk } from './src/vm/guest/runtime-disk.ts';
      const [dir, agentProgram, nodePath] = process.argv.slice(1);
      process.stdout.write((await ensureRuntimeDisk({ dir, agentProgram, nodePath }, new AbortController().signal)).path);`;
    const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script];
    const args = [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      '--',
      ...node,
      into,
      agentProgram,
      nodePath,
    ];
    const path = execFileSync('setpriv', args, { encoding: 'utf8', env: { ...process.env, HOME: into } });
    for (const file of ['/bin', '/bin/node', '/bin/npm', '/agent/agent.mjs', '/'])
      expect(ask(path, `stat ${file}`), file).to.match(/User:\s+0\s+Group:\s+0/);
  });

  it('leaves nothing half-made on a full disk', async function () {
    if (!SmallDisk.possible) return this.skip();
    using disk = new SmallDisk(4);
    put('prefix/lib/node_modules/npm/big', 'x'.repeat(8 * 1024 * 1024));
    const err = await ensure(disk.dir).catch((thrown: unknown) => thrown);
    expect(err).to.have.property('reason', 'DISK_FULL');
    expect(readdirSync(disk.dir)).to.deep.equal([]);
  });
});

describe('boot scripts', () => {
  it('are read by a shell without complaint', () => {
    const scripts = BOOT_SCRIPTS.filter(({ path }) => path.endsWith('.sh'));
    const texts = scripts.flatMap((script) => ('text' in script ? [script.text] : []));
    expect(texts.length).to.equal(3);
    for (const text of [INITRD_INIT, ...texts]) execFileSync('sh', ['-n'], { input: text, stdio: 'pipe' });
  });
});
