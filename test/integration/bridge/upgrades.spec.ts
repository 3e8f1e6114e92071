import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type HttpServer, listenHttp } from '../../../src/bridge/http-server.js';

describe('upgrades that nobody takes', () => {
  let server: HttpServer;
  let dir = '';

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'upgrades-'));
    const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const files = ['-subj', '/CN=localhost', '-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', ...curve, ...files], { stdio: 'ignore' });
    server = await listenHttp((req, res) => res.end(`${req.method} ${req.url}`), {
      host: '127.0.0.1',
      port: 0,
      upgrades: { take: () => false, close: () => {} },
      tls: { cert: readFileSync(cert), key: readFileSync(key) },
    });
  });
  after(async () => {
    await server.close(0);
    rmSync(dir, { recursive: true });
  });

  it('are answered as any other request over TLS, too', async () => {
    const text = await new Promise<string>((resolve, reject) => {
      const headers = { Connection: 'Upgrade', Upgrade: 'websocket' };
      const target = { host: '127.0.0.1', port: server.port, path: '/a', headers, timeout: 5000 };
      const req = request({ ...target, rejectUnauthorized: false, agent: false }, (res) => {
        res.setEncoding('utf8').on('data', resolve);
      });
      req
        .on('error', reject)
        .on('timeout', () => req.destroy(new Error('no answer')))
        .end();
    });
    expect(text).to.equal('GET /a');
  });
});
