import { expect } from 'chai';
import { normalize, type RecordedCase, recordedCases, sendRaw } from '../../support/gateway/replay.js';
import { Standalone } from '../../support/gateway/standalone.js';

/** Sends the recorded requests of a file to the standalone gateway. */
function replays(file: string, count: number, start: () => Promise<Standalone>): void {
  describe(`the gateway against grpc-gateway's answers in ${file}.jsonl`, function () {
    this.timeout(20_000);
    let gateways: Standalone;

    before(async () => {
      gateways = await start();
    });
    after(() => gateways.close());

    const cases = recordedCases(file);
    it('has the recorded cases', () => expect(cases.length).to.equal(count));

    for (const recorded of cases) {
      it(`answers alike: ${titleOf(recorded)}`, async () => {
        const { req, res, mode } = recorded;
        const want = normalize(Buffer.from(res, 'utf8'));
        const answer = await sendRaw(await gateways.port(mode), Buffer.from(req, 'latin1'));
        expect(normalize(answer)).to.deep.equal(want);
      });
    }
  });
}

function titleOf({ name, mode }: RecordedCase): string {
  const title = JSON.stringify(name).slice(1, -1);
  return mode === undefined ? title : `${title} (${mode})`;
}

replays('cases', 269, () => Standalone.ref());
replays('cases-more', 544, () => Standalone.ref());
replays('cases-odd', 285, () => Standalone.odd());
