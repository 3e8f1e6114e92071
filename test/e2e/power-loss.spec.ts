import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { AgentProcess } from '../chaos/agent-process.js';
import { freePorts } from '../support/e2e/free-ports.js';
import { HubProcess } from '../support/e2e/hub-process.js';
import { PowerDisk } from '../support/power-disk.js';

const ROUNDS = 5;
const CALLERS = 4;
const LINES = 2000;

describe('a hub whose disk loses power (fault case 125)', function () {
  this.timeout(120_000);
  let disk: PowerDisk;
  let hub: HubProcess;
  let agent: AgentProcess;
  let outside: string;

  before(async function () {
    const missing = PowerDisk.missing;
    if (missing !== undefined) {
      process.stderr.write(`SKIPPED: loss of power, which needs root, loop devices and ext4: ${missing}\n`);
      this.skip();
    }
    disk = new PowerDisk();
    outside = await mkdtemp(join(tmpdir(), 'power-agent-'));
    const [doorPort = 0] = await freePorts(1);
    hub = await HubProcess.start({ home: disk.dir, env: { VM_AGENT_DOOR: `127.0.0.1:${doorPort}` } });
    const token = String((await hub.rest('POST', '/agents/register', { agentId: 'worker' })).at('token'));
    agent = await AgentProcess.start({ id: 'worker', token, doorPort, dir: outside });
    await hub.rest('POST', '/agents/register', { agentId: 'away' });
  });

  after(async () => {
    await agent?.close();
    await hub?.crash();
    disk?.[Symbol.dispose]();
    if (outside) await rm(outside, { recursive: true });
  });

  /** The disk keeps only what was synced, and a new hub starts on that. */
  async function losePower(): Promise<void> {
    disk.cutPower();
    await hub.crash();
    disk.restorePower();
    await hub.startAgain();
  }

  /** Posts tasks until the hub does not answer any more; answers the ids that were accepted. */
  async function postUntilDark(accepted: string[], enough: () => void): Promise<void> {
    for (;;) {
      const body = { type: 'exec', command: ':' };
      const answer = await hub.rest('POST', '/agents/away/task', body).catch(() => undefined);
      if (answer?.status !== 200) return;
      accepted.push(String(answer.at('taskId')));
      if (accepted.length % 37 === 0) enough();
    }
  }

  it('has every task that it accepted, and every byte that it took from an agent', async () => {
    const lines = { type: 'exec', command: `for i in $(seq ${LINES}); do echo line $i; sleep 0.005; done` };
    const speaking = (await hub.rest('POST', '/agents/worker/task', lines)).at('taskId');
    const accepted: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      let cut: () => void = () => {};
      const busy = new Promise<void>((resolve) => {
        cut = resolve;
      });
      const callers = Array.from({ length: CALLERS }, () => postUntilDark(accepted, cut));
      await busy;
      await losePower();
      await Promise.all(callers);
      for (const id of accepted) {
        const { status, text } = await hub.rest('GET', `/tasks/${id}`);
        expect(status, `round ${round}, task ${id}: ${text}`).to.equal(200);
      }
    }
    expect(accepted.length).to.be.at.least(ROUNDS * 37);
    const { outcome, state } = (await hub.ended(speaking)) as { outcome: object; state: string };
    expect(state, JSON.stringify(outcome)).to.equal('SUCCEEDED');
    const { text } = await hub.rest('GET', `/tasks/${speaking}/output?stream=stdout`);
    expect(text).to.equal(Array.from({ length: LINES }, (_, n) => `line ${n + 1}\n`).join(''));
  });
});
