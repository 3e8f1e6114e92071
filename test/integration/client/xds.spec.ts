import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { AgentInfo } from '../../../gen/vmagent/v1/agent.js';
import { packageRoot } from '../../../src/base/package-root.js';
import { run } from '../../../src/base/process.js';
import { AdsServer, bootstrapFor } from '../../support/ads-server.js';
import { FakeOperatorHub } from '../../support/fake-operator-hub.js';

/** Runs the CLI in a process of its own: the bootstrap is read once per process. */
async function vmAgent(bootstrap: string, ...args: string[]) {
  const main = join(packageRoot(), 'cli', 'main.ts');
  const env = { ...process.env, GRPC_XDS_BOOTSTRAP_CONFIG: bootstrap };
  const started = performance.now();
  const result = await run(process.execPath, ['--import', 'tsx', main, '--hub', 'xds:///vm-hub', ...args], {
    env,
  });
  return { ...result, ms: performance.now() - started };
}

describe('client over xds', function () {
  this.timeout(30_000);
  let hub: FakeOperatorHub;

  beforeEach(async () => {
    hub = await new FakeOperatorHub().start();
    hub.agents.push(AgentInfo.fromPartial({ id: 'found-by-xds', status: 'online' }));
    hub.onTask = (task) => task.write('STDOUT', 'out').exit(5);
  });
  afterEach(() => hub.stop());

  it('finds the hub through its control plane', async () => {
    const ads = await new AdsServer('vm-hub', [hub.address]).start();
    try {
      const list = await vmAgent(ads.bootstrap, 'list');
      expect([list.code, list.stderr]).deep.equal([0, '']);
      expect(list.stdout).contain('found-by-xds');
      expect(await vmAgent(ads.bootstrap, 'exec', 'dev', 'x')).include({ code: 5, stdout: 'out' });
      expect(ads.rejected).deep.equal([]);
    } finally {
      ads.stop();
    }
  });

  it('names the control plane when there is none, in time', async () => {
    const { code, stdout, stderr, ms } = await vmAgent(bootstrapFor(await closedPort()), 'list');
    expect([code, stdout]).deep.equal([69, '']);
    expect(stderr).contain('cannot find the hub through xds:///vm-hub').and.contain('GRPC_XDS_BOOTSTRAP');
    expect(ms).lessThan(12_000);
  });

  it('says so in time when the control plane does not know the name', async () => {
    const ads = await new AdsServer('another-name', [hub.address]).start();
    try {
      const { code, stderr, ms } = await vmAgent(ads.bootstrap, 'list');
      expect([code, ms < 12_000]).deep.equal([69, true]);
      expect(stderr).contain('knows this name');
    } finally {
      ads.stop();
    }
  });

  it('says so when nothing names a control plane', async () => {
    const { code, stderr } = await vmAgent('', 'list');
    expect(code).equal(69);
    expect(stderr).contain('GRPC_XDS_BOOTSTRAP');
  });
});

async function closedPort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}
