import { readFileSync } from 'node:fs';
import { credentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import express from 'express';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import { createBridge } from '../../../src/bridge/bridge.js';
import { healthzRoute } from '../../../src/bridge/health-routes.js';
import { type HttpServer, listenHttp } from '../../../src/bridge/http-server.js';
import { startRefBackend } from '../../support/gateway/ref-backend.js';
import { buildRefDescriptors } from '../../support/gateway/ref-descriptors.js';
import { normalize, recordedCases, sendRaw } from '../../support/gateway/replay.js';

const JOINED = 'grpc-js joins repeated response metadata into one value, so it is one header here';

/** Recorded cases that do not match, each with the reason. A case that starts to match must leave the list. */
const KNOWN_DIFFERENCES: Readonly<Record<string, string>> = {
  'meta basic': JOINED,
  'meta TE trailers': JOINED,
};

describe('bridge against recorded grpc-gateway answers', () => {
  const cleanup = new Disposer();
  let server: HttpServer;

  before(async () => {
    const descriptors = await buildRefDescriptors();
    cleanup.defer(() => descriptors[Symbol.dispose]());
    const backend = cleanup.use(await startRefBackend(descriptors.protoDir));
    const bridge = cleanup.use(
      createBridge({
        descriptors: readFileSync(descriptors.file),
        backend: { address: backend.address, credentials: credentials.createInsecure() },
        log: silentLogger,
        extraRoutes: [healthzRoute],
      }),
    );
    const app = express().disable('x-powered-by').disable('etag').use(bridge.handler);
    server = cleanup.use(await listenHttp(app, { host: '127.0.0.1', port: 0 }));
  });
  after(() => cleanup.close());

  const cases = recordedCases();
  it('has the recorded cases', () => expect(cases.length).to.equal(269));

  for (const { name, req, res } of cases) {
    const reason = KNOWN_DIFFERENCES[name];
    it(reason === undefined ? `answers alike: ${name}` : `still differs: ${name} (${reason})`, async () => {
      const want = normalize(Buffer.from(res, 'utf8'));
      const got = normalize(await sendRaw(server.port, Buffer.from(req, 'latin1')));
      if (reason === undefined) expect(got).to.deep.equal(want);
      else expect(got).to.not.deep.equal(want);
    });
  }

  it('lists no difference that is not a case', () => {
    const names = new Set(cases.map(({ name }) => name));
    expect(Object.keys(KNOWN_DIFFERENCES).filter((name) => !names.has(name))).to.deep.equal([]);
  });
});
