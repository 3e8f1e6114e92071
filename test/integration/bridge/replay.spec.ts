import { expect } from 'chai';
import { normalize, recordedCases, sendRaw } from '../../support/gateway/replay.js';
import { startStandalone } from '../../support/gateway/standalone.js';

describe('the gateway against recorded grpc-gateway answers', () => {
  let gateway: Awaited<ReturnType<typeof startStandalone>>;

  before(async () => {
    gateway = await startStandalone();
  });
  after(() => gateway.close());

  const cases = recordedCases();
  it('has the recorded cases', () => expect(cases.length).to.equal(269));

  for (const { name, req, res } of cases) {
    it(`answers alike: ${name}`, async () => {
      const want = normalize(Buffer.from(res, 'utf8'));
      expect(normalize(await sendRaw(gateway.port, Buffer.from(req, 'latin1')))).to.deep.equal(want);
    });
  }
});
