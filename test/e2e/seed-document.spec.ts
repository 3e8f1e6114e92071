import { expect } from 'chai';
import { at, list } from '../support/e2e/json-path.js';
import { type Network, networkWithUsualPorts } from '../support/e2e/network.js';
import { readSeed, SeedRunner } from '../support/seed-runner.js';

/** Blocks that run in ways of their own. */
const SPECIAL = [1, 6, 19, 20, 21];
const { blocks } = await readSeed();

describe('the seed document', function () {
  this.timeout(180_000);
  let network: Network | undefined;
  let seed: SeedRunner;

  before(async function () {
    network = await networkWithUsualPorts();
    if (network === undefined) {
      console.log(
        'SKIPPED: ports 9090 to 9092 or 9418 are taken, and this user may not make a network of its own',
      );
      this.skip();
    }
    seed = await SeedRunner.create(network);
    await seed.start();
  });

  after(async () => {
    await seed?.close();
    await network?.close();
  });

  for (const { number, heading, language } of blocks.filter((block) => !SPECIAL.includes(block.number))) {
    it(`runs block ${number}, ${heading}`, async () => {
      const output = language === 'json' ? await runsAsTask(number) : await runsAsShell(number);
      for (const pattern of seed.patterns(number)) expect(output).to.match(pattern);
    });
    if (number === 5) itPostsByCurlAndFetch();
  }

  function itPostsByCurlAndFetch(): void {
    it('runs block 6, Send Tasks via API, its half for curl and its half for Node.js', async () => {
      const [curl = '', script = ''] = seed
        .block(6)
        .code.replace('// Using curl\n', '')
        .split('// Using Node.js\n');
      const posted = await seed.shell([...seed.before(6), curl].join('\n'));
      expect(posted.exitCode, posted.stderr).to.equal(0);
      expect(posted.stdout).to.match(/"taskId"/);
      const called = await seed.script(`${script}\ntasks.push(taskId);\nawait ended();`);
      expect(called.exitCode, called.stderr).to.equal(0);
      expect(called.stdout).to.match(/"state":"SUCCEEDED"/);
    });
  }

  it('runs block 19, From OpenClaw Agent', async () => {
    const task = "{ type: 'exec', command: 'echo delegated' }";
    const code = `${seed.block(19).code}\ntasks.push(await delegateToVM(${task}));\nawait ended();`;
    const result = await seed.script(code);
    expect(result.exitCode, result.stderr).to.equal(0);
    expect(result.stdout).to.match(/"state":"SUCCEEDED"/);
  });

  it('runs block 20, Workflow Example, whose stages run in order though nobody waits between them', async () => {
    const result = await seed.script(
      `${seed.block(20).code}\nawait buildPipeline('git://127.0.0.1/user/repo');`,
    );
    expect(result.exitCode, result.stderr).to.equal(0);
    const line = result.stdout.split('\n').find((text) => text.startsWith('ENDED ')) ?? 'ENDED []';
    const tasks = list({ tasks: JSON.parse(line.slice('ENDED '.length)) }, 'tasks');
    expect(tasks.map((task) => at(task, 'spec.type'))).to.deep.equal(['git:clone', 'exec', 'build', 'test']);
    expect(tasks.map((task) => at(task, 'state'))).to.deep.equal(Array(4).fill('SUCCEEDED'));
    for (const [index, task] of tasks.slice(1).entries()) {
      const before = Date.parse(String(at(tasks[index], 'endTime')));
      expect(Date.parse(String(at(task, 'startTime')))).to.be.at.least(before);
    }
  });

  it('shows the dashboard of block 21', async () => {
    const probe = `const res = await fetch(${JSON.stringify(seed.block(21).code)}); console.log(res.status, await res.text());`;
    const result = await seed.script(probe);
    expect(result.stdout)
      .to.match(/^200 /)
      .and.to.match(/<html|<!doctype html/i);
  });

  it('selects agents by capability, as the last section says', async () => {
    const listed = await seed.shell('./vm-agent list --capability tensorflow');
    expect(listed.stdout).to.include('gpu-agent').and.not.include('my-agent');
    const code = `
      const response = await fetch('http://localhost:9091/tasks', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ type: 'exec', command: 'true', requiredCapabilities: ['gpu'], wait: '30s' }),
      });
      console.log(JSON.stringify(await response.json()));`;
    const answer = JSON.parse((await seed.script(code)).stdout);
    expect(at(answer, 'task.agent')).to.equal('gpu-agent');
    expect(at(answer, 'task.state')).to.equal('SUCCEEDED');
  });

  async function runsAsShell(number: number): Promise<string> {
    const result = await seed.bash(number);
    expect(result.exitCode, result.stdout + result.stderr).to.equal(0);
    return result.stdout + result.stderr;
  }

  /** Posts a JSON block as a task for my-agent. */
  async function runsAsTask(number: number): Promise<string> {
    const setup = await seed.shell(seed.before(number).join('\n'));
    expect(setup.exitCode, setup.stderr).to.equal(0);
    const task = JSON.stringify(JSON.parse(seed.block(number).code));
    const result = await seed.script(`await sendTask('my-agent', ${task});\nawait ended();`);
    expect(result.exitCode, result.stderr).to.equal(0);
    expect(result.stdout).to.match(/"state":"SUCCEEDED"/);
    return result.stdout;
  }
});
