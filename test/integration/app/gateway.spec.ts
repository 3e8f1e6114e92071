import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import type { GatewayOptions } from '../../../src/app/gateway.js';
import { Disposer } from '../../../src/base/disposer.js';
import { packageRoot } from '../../../src/base/package-root.js';
import { run } from '../../../src/base/process.js';
import { HubError } from '../../../src/model/hub-error.js';
import { makeCertificates } from '../../support/gateway/certificates.js';
import { ask, open, postJson } from '../../support/gateway/http-client.js';
import { Standalone } from '../../support/gateway/standalone.js';

describe('a gateway', () => {
  const cleanup = new Disposer();
  let gateways: Standalone;
  let dir = '';

  before(async () => {
    gateways = cleanup.use(await Standalone.ref());
    dir = mkdtempSync(join(tmpdir(), 'gateway-'));
    cleanup.defer(() => rmSync(dir, { recursive: true, force: true }));
  });
  after(() => cleanup.close());

  const portOf = async (options: Partial<GatewayOptions>) => (await gateways.start(options)).address.port;
  const failure = async (options: Partial<GatewayOptions>): Promise<string> => {
    try {
      await gateways.start(options);
    } catch (err) {
      expect(err).to.be.instanceOf(HubError);
      return (err as HubError).message;
    }
    return 'it started';
  };
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };

  describe('takes sets of descriptors', () => {
    const setOf = (keep: (name: string) => boolean): string => {
      const set = fromBinary(FileDescriptorSetSchema, readFileSync(gateways.descriptors.file));
      const kept = create(FileDescriptorSetSchema, { file: set.file.filter(({ name }) => keep(name)) });
      return file('kept.binpb', toBinary(FileDescriptorSetSchema, kept));
    };

    it("without Google's own files", async () => {
      const port = await portOf({ descriptorSet: setOf((name) => !name.startsWith('google/')) });
      const answer = await ask(port, { path: '/v1/fail/5?message=m&detail=D' });
      expect(answer.json()).to.deep.include({ code: 5, message: 'm' });
      expect(answer.text).to.contain('"reason":"D"');
    });

    it('in any order of the files', async () => {
      const set = fromBinary(FileDescriptorSetSchema, readFileSync(gateways.descriptors.file));
      const turned = create(FileDescriptorSetSchema, { file: [...set.file].reverse() });
      const port = await portOf({
        descriptorSet: file('turned.binpb', toBinary(FileDescriptorSetSchema, turned)),
      });
      expect((await ask(port, { path: '/v1/nop' })).status).to.equal(200);
    });

    const bad: [what: string, make: () => string, words: RegExp][] = [
      ['a file that is not there', () => join(dir, 'none'), /--descriptor-set: .*cannot be read.*ENOENT/],
      ['an empty file', () => file('empty', ''), /not a set of descriptors; make one with "buf build/],
      ['a text', () => file('text', 'syntax = "proto3";'), /not a set of descriptors/],
      [
        'a set that lacks an import',
        () => setOf((n) => n !== 'ref.proto' && !n.includes('rpc')),
        /it started/,
      ],
    ];
    for (const [what, make, words] of bad) {
      it(`and says what is wrong with ${what}`, async () => {
        expect(await failure({ descriptorSet: make() })).to.match(words);
      });
    }
  });

  describe('refuses rules that the generator of grpc-gateway refuses, naming method and rule', () => {
    const rules: [what: string, rule: string, words: RegExp][] = [
      ['a body with GET', 'get: "/a" body: "*"', /rpc bad\.S\.M, GET \/a: a get rule may not have a body/],
      ['a body with DELETE', 'delete: "/a" body: "*"', /DELETE \/a: a delete rule may not have a body/],
      ['a field that is not there', 'get: "/a/{nope}"', /GET \/a\/\{nope\}: no field "nope" in bad\.Q/],
      ['a body that is not there', 'post: "/a" body: "nope"', /POST \/a: no field "nope"/],
      ['a message in the path', 'get: "/a/{inner}"', /"inner" is a message/],
      ['a map in the path', 'get: "/a/{map}"', /"map" is a message/],
      ['a struct in the path', 'get: "/a/{st}"', /"st" is a message/],
      ['a broken template', 'get: "/a/{id"', /path template "\/a\/\{id" has a variable that is not closed/],
      ['two deep wildcards', 'get: "/{id=**}/{x=**}"', /more than one "\*\*"/],
      ['the same path twice', 'get: "/a" additional_bindings { get: "/a" }', /GET \/a .*are bound twice/],
      [
        'bindings in bindings',
        'get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } }',
        /rpc bad\.S\.M: additional_bindings may not hold additional_bindings/,
      ],
      ['a response that is not there', 'get: "/a" response_body: "nope"', /no field "nope"/],
      ['path parameters of streamed requests', 'stream post: "/a/{id}" body: "*"', /requests are a stream/],
    ];
    for (const [what, rule, words] of rules) {
      it(what, async () => {
        const input = rule.startsWith('stream ') ? 'stream Q' : 'Q';
        const proto = `syntax = "proto3"; package bad; import "google/api/annotations.proto"; import "google/protobuf/struct.proto";
          message Q { string id = 1; Q inner = 2; map<string, string> map = 3; google.protobuf.Struct st = 4; string x = 5; }
          service S { rpc M(${input}) returns (Q) { option (google.api.http) = { ${rule.replace('stream ', '')} }; } }`;
        writeFileSync(join(gateways.descriptors.protoDir, 'bad.proto'), proto);
        const out = join(dir, 'bad.binpb');
        const buf = join(packageRoot(), 'node_modules/.bin/buf');
        const from = gateways.descriptors.protoDir;
        const built = await run(buf, ['build', from, '--path', join(from, 'bad.proto'), '-o', out]);
        expect(built.stderr).to.equal('');
        expect(await failure({ descriptorSet: out })).to.match(words);
      }).timeout(20_000);
    }
  });

  describe('has options beyond a stock gateway', () => {
    it('405 with the methods of a path', async () => {
      const { status, headers } = await ask(await portOf({ methodNotAllowed: 405 }), {
        method: 'PATCH',
        path: '/v1/nop',
      });
      expect([status, headers.allow]).to.deep.equal([405, 'DELETE, GET, POST']);
    });

    it('strict bodies', async () => {
      const answer = await postJson(await portOf({ rejectUnknownFields: true }), '/v1/echo', '{"zz":1}');
      expect([answer.status, answer.json().message]).to.deep.equal([400, 'unknown fields: "zz"']);
    });

    it('methods without a rule', async () => {
      const port = await portOf({ unboundMethods: true });
      expect((await postJson(port, '/ref.v1.Ref/Unbound', '{}')).status).to.equal(501);
      expect((await postJson(await portOf({}), '/ref.v1.Ref/Unbound', '{}')).status).to.equal(404);
    });

    it('no other method behind a form', async () => {
      const headers = {
        'Content-Type': 'application/x-www-form-urlencoded',
        'X-HTTP-Method-Override': 'GET',
      };
      const wish = { method: 'POST', path: '/v1/nop?', headers };
      expect(
        (await ask(await portOf({ methodOverride: false }), { ...wish, path: '/v1/list' })).status,
      ).to.equal(501);
      expect((await ask(await portOf({}), { ...wish, path: '/v1/list' })).status).to.equal(200);
    });

    it('a description of its routes', async () => {
      const answer = await ask(await portOf({ openApi: true }), { path: '/openapi.json' });
      expect(answer.json()).to.include({ openapi: '3.1.0' });
      expect(answer.json().paths).to.have.property('/v1/echo');
      expect((await ask(await portOf({}), { path: '/openapi.json' })).status).to.equal(404);
    });

    it('a limit of bodies', async () => {
      const answer = await postJson(await portOf({ bodyLimit: 10 }), '/v1/echo', '{"s":"0123456789"}');
      expect([answer.status, answer.json().code]).to.deep.equal([413, 8]);
    });
  });

  it('takes bodies that are nested deep, as Go does', async () => {
    const nested = `${'{"child":'.repeat(500)}{}${'}'.repeat(500)}`;
    const { status, text } = await postJson(await portOf({}), '/v1/echo', `{"nested":${nested}}`);
    expect(status, text.slice(0, 200)).to.equal(200);
    expect(text).to.contain(`${'{"name":"","amount":0,"child":'.repeat(400)}`);
  });

  it('says when its target is not there', async () => {
    const port = await portOf({ target: `127.0.0.1:${await closedPort()}` });
    for (const path of ['/v1/nop', '/v1/sstream/1']) {
      const answer = await ask(port, { path });
      expect([answer.status, answer.json().code]).to.deep.equal([503, 14]);
    }
  });

  it('does not lose its connection over metadata that cannot be sent twice, or not at all', async () => {
    const port = await portOf({});
    const slow = open(port, '/v1/slow/400');
    const twice = ['a', 'b'];
    const headers = {
      'Grpc-Metadata-Etag': twice,
      'Grpc-Metadata-If-Match': twice,
      'Grpc-Metadata-Http2-Settings': 'x',
      'Grpc-Metadata-Connection': 'x',
      'Grpc-Metadata-Upgrade': 'x',
      'Grpc-Metadata-Content-Length': '1',
      'Grpc-Metadata-Host': 'x',
      Authorization: 'first',
      'Grpc-Metadata-Authorization': 'second',
    };
    const { status, text } = await ask(port, { path: '/v1/meta', headers });
    expect(status, text).to.equal(200);
    expect((JSON.parse(text) as { md: string[] }).md).to.include.members([
      'authorization="first"',
      'etag="a"',
    ]);
    expect((await slow).statusCode).to.equal(200);
  });

  it('speaks to a target at a unix socket', async () => {
    const path = join(dir, 'target.sock');
    const server = new Server();
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (err) =>
        err ? reject(err) : resolve(),
      );
    });
    cleanup.defer(() => server.forceShutdown());
    expect((await ask(await portOf({ target: `unix:${path}` }), { path: '/v1/nop' })).status).to.equal(501);
  });

  const wrong: [what: string, options: Partial<GatewayOptions>, words: RegExp][] = [
    ['a target without a port', { target: 'somewhere' }, /--target: must be HOST:PORT, unix:/],
    ['an address that is none', { listen: 'here:there' }, /--listen: must be HOST:PORT or PORT/],
    ['a key that is missing', { tlsCert: '/etc/hostname' }, /--tls-key: is missing/],
    [
      'a certificate that is none',
      { tlsCert: '/etc/passwd', tlsKey: '/etc/passwd' },
      /tls: .*cannot be used/,
    ],
    ['authorities that are not there', { targetCa: '/none/ca.pem' }, /--target-ca: .*ENOENT/],
    ['a client key that is missing', { targetCert: '/etc/hostname' }, /--target-key: is missing/],
  ];
  for (const [what, options, words] of wrong) {
    it(`names ${what}`, async () => expect(await failure(options)).to.match(words));
  }

  it('says that its address is in use', async () => {
    const { address } = await gateways.start();
    expect(await failure({ listen: `127.0.0.1:${address.port}` })).to.match(/is in use by another program/);
  });

  it('answers what it has in hand before it ends, and takes nothing new', async () => {
    const gateway = await gateways.start();
    const slow = open(gateway.address.port, '/v1/slow/300');
    const other = await open(gateway.address.port, '/v1/sstream/1?cmd=hang');
    const closed = gateway.close(1_000);
    expect((await slow).statusCode).to.equal(200);
    other.destroy();
    await closed;
    const late = await ask(gateway.address.port, { path: '/v1/nop' }).catch((err: Error) => err.message);
    expect(late).to.match(/ECONNREFUSED/);
  });

  describe('with TLS', function () {
    this.timeout(30_000);
    let made: Awaited<ReturnType<typeof makeCertificates>>;

    before(async function () {
      made = await makeCertificates();
      if (made !== undefined) return;
      console.log('SKIPPED: TLS of the gateway is not tested, because this host has no openssl');
      this.skip();
    });
    after(() => made?.[Symbol.dispose]());

    const certificates = () => {
      if (made === undefined) throw new Error('there are no certificates');
      return made;
    };
    const fetchOver = (port: number, client: boolean): Promise<number> => {
      const { ca, client: own } = certificates();
      const identity = client ? { cert: readFileSync(own.cert), key: readFileSync(own.key) } : {};
      return new Promise((resolve, reject) => {
        const options = { host: 'localhost', port, path: '/v1/nop', ca: readFileSync(ca), agent: false };
        get({ ...options, ...identity }, (res) => resolve(res.resume().statusCode ?? 0)).on('error', reject);
      });
    };

    it('serves HTTPS, to clients with a certificate when asked to', async () => {
      const { ca, server } = certificates();
      const tls = { tlsCert: server.cert, tlsKey: server.key };
      const gateway = await gateways.start(tls);
      expect(gateway.url).to.match(/^https:/);
      expect(await fetchOver(gateway.address.port, false)).to.equal(200);
      const strict = await portOf({ ...tls, tlsClientCa: ca });
      expect(await fetchOver(strict, true)).to.equal(200);
      const refused = await fetchOver(strict, false).catch((err: Error) => err.message);
      expect(refused).to.match(/certificate required|ECONNRESET|alert/i);
    });

    it('speaks TLS to its target, and shows a certificate', async () => {
      const { ca, server, client } = certificates();
      const pair = { cert_chain: readFileSync(server.cert), private_key: readFileSync(server.key) };
      const backend = new Server();
      const port = await new Promise<number>((resolve, reject) => {
        const credentials = ServerCredentials.createSsl(readFileSync(ca), [pair], true);
        backend.bindAsync('localhost:0', credentials, (err, bound) => (err ? reject(err) : resolve(bound)));
      });
      cleanup.defer(() => backend.forceShutdown());
      const target = `localhost:${port}`;
      const codeOf = async (options: Partial<GatewayOptions>) =>
        (await ask(await portOf({ target, ...options }), { path: '/v1/nop' })).status;
      const identity = { targetCert: client.cert, targetKey: client.key };
      // The backend has no methods: that it says so shows that it was reached.
      expect(await codeOf({ targetCa: ca, ...identity })).to.equal(501);
      expect(await codeOf({ targetCa: ca })).to.equal(503);
      expect(await codeOf({})).to.equal(503);
    });
  });
});

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
