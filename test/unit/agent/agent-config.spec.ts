import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigError, loadAgentConfig } from '../../../src/agent/agent-config.js';
import { BootSource } from '../../../src/agent/guest/boot-source.js';
import { bootDiskOf, type GuestBoot } from '../../../src/model/guest-boot.js';

describe('loadAgentConfig', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'config-'));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  function write(settings: unknown, mode = 0o600): string {
    const file = join(dir, 'config.json');
    writeFileSync(file, typeof settings === 'string' ? settings : JSON.stringify(settings));
    chmodSync(file, mode);
    return file;
  }

  const good = { agentId: 'a', token: 's', door: 'localhost:9090', stateDir: '/s', home: '/h' };

  function problems(settings: unknown, mode?: number, env: NodeJS.ProcessEnv = {}): string {
    const file = write(settings, mode);
    try {
      loadAgentConfig({ file, env });
    } catch (err) {
      if (err instanceof ConfigError) return err.message;
      throw err;
    }
    return '';
  }

  it('fills in defaults', () => {
    const config = loadAgentConfig({ file: write(good), env: {} });
    expect(config).to.deep.equal({
      ...good,
      vmGeneration: 1,
      allowSudo: true,
      capabilities: [],
      logLevel: 'info',
    });
  });

  it('takes what older configurations have', () => {
    const { door: _, ...rest } = good;
    const old = { ...rest, hubUrl: 'ws://10.0.2.2:9090/agent', capabilities: 'git, node', type: 'generic' };
    const config = loadAgentConfig({ file: write(old), env: {} });
    expect(config.door).to.equal('10.0.2.2:9090');
    expect(config.capabilities).to.deep.equal(['git', 'node']);
  });

  it('takes from the environment what the file does not say', () => {
    const env = {
      AGENT_CONFIG: write({ stateDir: dir }),
      AGENT_ID: 'b',
      AGENT_TOKEN: 't',
      VM_AGENT_DOOR: 'unix:/d',
    };
    expect(loadAgentConfig({ env })).to.include({ agentId: 'b', token: 't', door: 'unix:/d', stateDir: dir });
  });

  it('reads the token from a private file', () => {
    const { token: _, ...rest } = good;
    const tokenFile = join(dir, 'token');
    writeFileSync(tokenFile, 'from-file\n', { mode: 0o600 });
    expect(loadAgentConfig({ file: write({ ...rest, tokenFile: 'token' }), env: {} }).token).to.equal(
      'from-file',
    );
    chmodSync(tokenFile, 0o644);
    expect(problems({ ...rest, tokenFile }))
      .to.include('tokenFile')
      .and.include('chmod 600');
  });

  it('refuses a file with a secret that everybody may read', () => {
    expect(problems(good, 0o644)).to.include('chmod 600');
  });

  it('names every bad setting at once', () => {
    const found = problems({
      agentId: 'A',
      door: 'nowhere',
      vmGeneration: 0,
      allowSudo: 1,
      capabilities: 3,
      x: 1,
    });
    for (const key of ['agentId', 'token', 'door', 'vmGeneration', 'allowSudo', 'capabilities', 'x'])
      expect(found).to.include(`  ${key}: `);
  });

  it('refuses a socket path that the system would cut', () => {
    expect(problems({ ...good, door: `unix:/${'x'.repeat(107)}` })).to.include('door');
  });

  it('refuses what is not a JSON object', () => {
    expect(problems('[1]')).to.include('JSON object');
    expect(problems('{')).to.include('JSON object');
  });

  it('refuses a user of tasks that is not there, or that it may not become', () => {
    expect(problems({ ...good, taskUser: 'no-such-user' })).to.match(
      /taskUser: this machine has no user "no-such-user"/,
    );
    const file = write({ ...good, taskUser: 'root' });
    expect(() => loadAgentConfig({ file, env: {}, uid: 1000 })).to.throw(
      /taskUser: only an agent that is root/,
    );
    expect(loadAgentConfig({ file, env: {}, uid: 0 }).taskUser).to.include({ name: 'root', uid: 0 });
  });

  describe('in a virtual machine', () => {
    const boot: GuestBoot = {
      schema: 1,
      agentId: 'of-the-disk',
      joinSecret: 'told',
      door: '10.0.2.100:9090',
      vmGeneration: 4,
      network: 'isolated',
      hostname: 'of-the-disk',
      diskBytes: 1,
      timeMs: 1,
    };
    const guest = () => ({ bootDisk: join(dir, 'boot'), runDir: join(dir, 'run'), stateDir: '/s' });

    beforeEach(() => writeFileSync(join(dir, 'boot'), bootDiskOf(boot)));

    it('is who the boot disk says', () => {
      const config = loadAgentConfig({ file: write(guest(), 0o644), env: { AGENT_ID: 'other' } });
      const told = { agentId: 'of-the-disk', token: 'told', door: '10.0.2.100:9090', vmGeneration: 4 };
      expect(config).to.include(told);
    });

    it('believes what its host said later, unless the disk is newer', () => {
      const source = new BootSource({ disk: join(dir, 'boot'), runDir: join(dir, 'run') });
      source.keep({ ...boot, vmGeneration: 5, joinSecret: 'later' });
      const file = write(guest());
      expect(loadAgentConfig({ file, env: {} })).to.include({ vmGeneration: 5, token: 'later' });
      writeFileSync(join(dir, 'boot'), bootDiskOf({ ...boot, vmGeneration: 6 }));
      expect(loadAgentConfig({ file, env: {} })).to.include({ vmGeneration: 6, token: 'told' });
    });

    it('says what is wrong with the disk', () => {
      writeFileSync(join(dir, 'boot'), Buffer.alloc(512));
      expect(problems(guest())).to.match(/bootDisk: .*must hold JSON/);
      expect(problems({ ...guest(), bootDisk: 'no-such-serial' })).to.match(
        /bootDisk: .*no-such-serial|ENOENT/,
      );
      expect(problems({ ...guest(), runDir: 'here' })).to.match(/runDir must be a path/);
    });
  });
});
