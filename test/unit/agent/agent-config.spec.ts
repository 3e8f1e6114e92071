import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigError, loadAgentConfig } from '../../../src/agent/agent-config.js';

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
});
