import { join } from 'node:path';
import { expect } from 'chai';
import { type CommandResult, runCommand } from '../support/e2e/command.js';
import { HubProcess, ROOT } from '../support/e2e/hub-process.js';
import { at } from '../support/e2e/json-path.js';
import { grpcurl, PYTHON_MODULES, pythonWithProtos, type Tool } from '../support/e2e/other-clients.js';

describe('clients of other makers', function () {
  this.timeout(600_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
    await hub.ok(['create', 'worker', '--provider', 'local']);
  });
  after(() => hub?.close());

  describe('grpcurl, without proto files', () => {
    let path = '';

    before(async function () {
      path = pathOrSkip(this, await grpcurl());
    });

    function call(...args: readonly string[]): Promise<CommandResult> {
      return runCommand(path, ['-plaintext', ...args], { cwd: '/' });
    }

    it('lists the services', async () => {
      const result = await call(hub.grpcAddress, 'list');
      const services = ['vmagent.v1.Hub', 'vmagent.v1.VmManager', 'grpc.health.v1.Health'];
      expect(result.stdout.trim().split('\n'), result.stderr).to.include.members(services);
    });

    it('describes the Hub with its routes', async () => {
      const result = await call(hub.grpcAddress, 'describe', 'vmagent.v1.Hub');
      expect(result.stdout, result.stderr).to.match(/rpc CreateTask/);
      expect(result.stdout).to.include('/agents/{agent}/task');
    });

    it('describes a message', async () => {
      const result = await call(hub.grpcAddress, 'describe', 'vmagent.v1.CreateTaskRequest');
      expect(result.stdout, result.stderr).to.match(/string command = 2/);
    });

    it('runs a task from JSON', async () => {
      const body = { agent: 'worker', type: 'exec', command: 'echo by grpcurl; exit 3', wait: '30s' };
      const result = await call('-d', JSON.stringify(body), hub.grpcAddress, 'vmagent.v1.Hub/CreateTask');
      expect(result.exitCode, result.stderr).to.equal(0);
      const answer: unknown = JSON.parse(result.stdout);
      expect(at(answer, 'task.outcome.exitCode')).to.equal(3);
      expect(at(answer, 'task.outcome.stdoutTail')).to.equal('by grpcurl\n');
    });

    it('follows a stream', async () => {
      const args = ['-d', '{"agent":"worker","lines":1}', hub.grpcAddress, 'vmagent.v1.Hub/StreamLogs'];
      expect((await call(...args)).stdout).to.match(/"text"/);
    });

    it('shows the details of an error', async () => {
      const result = await call(
        '-d',
        '{"agent":"worker","type":"dance"}',
        hub.grpcAddress,
        'vmagent.v1.Hub/CreateTask',
      );
      expect(result.exitCode).not.to.equal(0);
      expect(result.stderr)
        .to.match(/InvalidArgument/)
        .and.to.match(/google\.rpc\.BadRequest/);
    });

    it('asks for health', async () => {
      const result = await call(hub.grpcAddress, 'grpc.health.v1.Health/Check');
      expect(result.stdout, result.stderr).to.match(/SERVING/);
    });
  });

  it('a short Python program runs a task', async function () {
    const python = pathOrSkip(this, await pythonWithProtos());
    const client = join(ROOT, 'test', 'fixtures', 'python', 'client.py');
    const env = { ...process.env, PYTHONPATH: PYTHON_MODULES };
    const args = [client, hub.grpcAddress, 'worker', 'echo by Python; exit 4'];
    const result = await runCommand(python, args, { env });
    expect(result.stdout, result.stderr).to.equal('by Python\n');
    expect(result.exitCode).to.equal(4);
  });
});

function pathOrSkip(context: Mocha.Context, tool: Tool): string {
  if ('path' in tool) return tool.path;
  console.log(`SKIPPED: ${tool.missing}`);
  return context.skip();
}
