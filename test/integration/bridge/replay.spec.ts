import { expect } from 'chai';
import { startRefGateway } from '../../support/gateway/ref-gateway.js';
import { normalize, recordedCases, sendRaw } from '../../support/gateway/replay.js';

const JOINED = 'grpc-js joins repeated response metadata into one value, so it is one header here';

/** Recorded cases that do not match, each with the reason. A case that starts to match must leave the list. */
const KNOWN_DIFFERENCES: Readonly<Record<string, string>> = {
  'meta basic': JOINED,
  'meta TE trailers': JOINED,
};

describe('bridge against recorded grpc-gateway answers', () => {
  let gateway: Awaited<ReturnType<typeof startRefGateway>>;

  before(async () => {
    gateway = await startRefGateway();
  });
  after(() => gateway.close());

  const cases = recordedCases();
  it('has the recorded cases', () => expect(cases.length).to.equal(269));

  for (const { name, req, res } of cases) {
    const reason = KNOWN_DIFFERENCES[name];
    it(reason === undefined ? `answers alike: ${name}` : `still differs: ${name} (${reason})`, async () => {
      const want = normalize(Buffer.from(res, 'utf8'));
      const got = normalize(await sendRaw(gateway.port, Buffer.from(req, 'latin1')));
      if (reason === undefined) expect(got).to.deep.equal(want);
      else expect(got).to.not.deep.equal(want);
    });
  }

  it('lists no difference that is not a case', () => {
    const names = new Set(cases.map(({ name }) => name));
    expect(Object.keys(KNOWN_DIFFERENCES).filter((name) => !names.has(name))).to.deep.equal([]);
  });
});
