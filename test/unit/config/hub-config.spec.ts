import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { formatAddress, parseAddress } from '../../../src/config/address.js';
import { loadHubConfig } from '../../../src/config/hub-config.js';
import { HubError } from '../../../src/model/hub-error.js';

describe('loadHubConfig', () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'home-'));
  });
  afterEach(() => rmSync(home, { recursive: true }));
  const load = (flags: Record<string, string> = {}, env: NodeJS.ProcessEnv = {}) =>
    loadHubConfig({ flags, env: { VM_AGENT_HOME: home, ...env } });

  it('has the documented defaults', () => {
    const config = load();
    expect([config.grpc, config.http, config.dashboard].map(formatAddress)).to.deep.equal([
      '127.0.0.1:9090',
      '127.0.0.1:9091',
      '127.0.0.1:9092',
    ]);
    expect(config.home.root).to.equal(home);
  });

  it('prefers flags to the environment, that to the file, and that to defaults', () => {
    const file = { grpc: '127.0.0.1:1', http: '127.0.0.1:2', dashboard: 3, logLevel: 'warn' };
    writeFileSync(join(home, 'config.json'), JSON.stringify(file));
    const config = load({ grpc: '[::1]:10' }, { VM_AGENT_GRPC_PORT: '11', HTTP_PORT: '12' });
    expect(formatAddress(config.grpc)).to.equal('[::1]:10');
    expect(formatAddress(config.http)).to.equal('127.0.0.1:12');
    expect(formatAddress(config.dashboard)).to.equal('127.0.0.1:3');
    expect(config.logLevel).to.equal('warn');
  });

  it('names every bad setting at once', () => {
    try {
      load({ grpc: 'x:y' }, { HTTP_PORT: '70000', VM_AGENT_LOG_LEVEL: 'loud' });
      expect.fail('it must refuse');
    } catch (err) {
      expect(err).to.be.instanceOf(HubError);
      const fields = err instanceof HubError ? err.fields.map((f) => f.field) : [];
      expect(fields).to.deep.equal(['grpc', 'http', 'logLevel']);
    }
  });

  it('refuses to listen beyond loopback, and says why', () => {
    for (const address of [
      '0.0.0.0:9090',
      '[::]:9090',
      '192.168.1.5:9090',
      'example.org:9090',
      '[::ffff:1.2.3.4]:1',
    ]) {
      expect(() => load({ grpc: address }), address).to.throw(HubError, /grpc: only loopback.*no TLS/);
    }
  });

  it('refuses a config file that is not a JSON object', () => {
    writeFileSync(join(home, 'config.json'), '[1]');
    expect(() => load()).to.throw(HubError, /config\.json.*JSON object/);
  });
});

describe('parseAddress', () => {
  it('reads HOST:PORT, [IPV6]:PORT and PORT', () => {
    expect(parseAddress('localhost:1')).to.deep.equal({ host: 'localhost', port: 1 });
    expect(parseAddress('[::1]:2')).to.deep.equal({ host: '::1', port: 2 });
    expect(parseAddress('3')).to.deep.equal({ host: '127.0.0.1', port: 3 });
    for (const bad of ['', 'a', ':1', 'a:', '::1:1', 'a:65536', 'a:1 ', 'a/b:1']) {
      expect(parseAddress(bad), bad).to.equal(undefined);
    }
  });
});
