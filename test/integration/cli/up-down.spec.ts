import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { lockHolder } from '../../../src/base/lock-file.js';
import { packageRoot } from '../../../src/base/package-root.js';
import { homePaths } from '../../../src/config/home.js';
import { cli } from '../../support/cli.js';

describe('vm-agent up and down', () => {
  const fakeHub = join(packageRoot(), 'test', 'support', 'fake-hub-main.ts');
  const self = [process.execPath, '--import', 'tsx', fakeHub];
  let home: string;
  let flags: string[];

  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'vm-agent-up-'));
    flags = ['--home', home, '--grpc', `127.0.0.1:${await freePort()}`];
  });
  afterEach(async () => {
    await cli(['down', '--home', home]);
    await rm(home, { recursive: true, force: true });
  });

  const run = (...args: string[]) =>
    cli(args, { self, env: { PATH: process.env.PATH, VM_AGENT_HOME: home } });

  it('starts the hub once and stops it', async () => {
    const first = await run('up', ...flags);
    expect([first.code, first.stderr]).match(/^0,the hub is running \(pid \d+\)\n$/);
    expect(first.stdout).match(
      /^gRPC {7}127\.0\.0\.1:\d+\nREST {7}http:.*:9091\nDashboard {2}http:.*:9092\n$/,
    );
    const second = await run('up', ...flags);
    expect([second.code, second.stdout]).deep.equal([0, first.stdout]);
    expect(second.stderr).contain('already running');
    expect((await run('down')).stderr).contain('has stopped');
    expect(await lockHolder(homePaths(home).lockFile)).equal(undefined);
  });

  it('says why the hub did not start', async () => {
    const { code, stdout, stderr } = await run('up', ...flags, '--log-level', 'error');
    expect([code, stdout]).deep.equal([1, '']);
    expect(stderr).contain('the hub did not start: the port is taken by another program');
  });

  it('has nothing to stop where nothing runs', async () => {
    expect(await run('down')).deep.equal({ code: 0, stdout: '', stderr: 'the hub is not running\n' });
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}
