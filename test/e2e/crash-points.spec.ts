import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { at, list } from '../support/e2e/json-path.js';

const PRELOAD = pathToFileURL(fileURLToPath(new URL('../support/e2e/crash-point.mjs', import.meta.url))).href;

/** Points that one run tries of each scenario, spread over all of them. `CRASH_POINTS=all` for every one. */
const TRIED =
  process.env.CRASH_POINTS === 'all' ? Number.POSITIVE_INFINITY : Number(process.env.CRASH_POINTS ?? 6);

const EXPECTED = Array.from({ length: 200 }, (_, i) => `${i + 1}\n`).join('');

describe('a hub that is killed at a point of its work (fault case 65, 103)', function () {
  this.timeout(Number.isFinite(TRIED) ? 180_000 : 3_600_000);
  let dir: string;
  let arm: string;
  let hub: HubProcess;
  let rounds = 0;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'crash-point-'));
    arm = join(dir, 'arm');
    hub = await HubProcess.start({ env: { NODE_OPTIONS: `--import ${PRELOAD}`, CRASH_POINT: arm } });
    await hub.ok(['create', 'dev', '--provider', 'local']);
  });

  after(async () => {
    rmSync(arm, { force: true });
    await hub.close();
    await rm(dir, { recursive: true });
  });

  it('accepts, runs and ends a task exactly once, whatever it was doing', async () => {
    await eachPoint(async () => {
      const mark = `mark-${rounds}`;
      const body = { id: `task-${rounds}`, command: `echo ran >> ${mark}; seq 200`, wait: '20s' };
      const first = await post(body).catch(() => undefined);
      const again = await untilBack(first);
      const task = await post(body);
      expect(task.at('task.status.state') ?? task.at('task.state'), task.text).to.equal('SUCCEEDED');
      const output = await hub.rest('GET', `/tasks/${body.id}/output?stream=stdout`);
      expect(output.text).to.equal(EXPECTED);
      const check = await post({ id: `check-${rounds}`, command: `cat ${mark}`, wait: '20s' });
      const marks = await hub.rest('GET', `/tasks/check-${rounds}/output?stream=stdout`);
      expect(marks.text, check.text).to.equal('ran\n');
      const tasks = list((await hub.rest('GET', '/agents/dev/tasks?pageSize=200')).json, 'tasks');
      expect(
        tasks.filter((one) => at(one, 'id') === body.id || at(one, 'taskId') === body.id),
      ).to.have.length(1);
      return again;
    });
  });

  it('has a snapshot whole or not at all, and goes back to it whole or not at all', async () => {
    await eachPoint(async () => {
      const name = `snap-${rounds}`;
      await post({ command: `echo old > file`, wait: '20s' });
      armNow();
      const taken = await hub.cli(['snapshot', 'dev', name]);
      await post({ command: `echo new > file`, wait: '20s' }).catch(() => undefined);
      const restored = taken.exitCode === 0 ? await hub.cli(['restore', 'dev', name]) : undefined;
      const crashed = await untilBack(restored?.exitCode === 0 ? {} : undefined);
      const { stdout } = await hub.ok(['snapshots', 'dev', '--json']);
      const known = stdout.includes(name);
      if (taken.exitCode === 0) expect(known, 'an acknowledged snapshot').to.equal(true);
      await hub.cli(['start', 'dev']);
      if (known) await hub.ok(['restore', 'dev', name]);
      else await hub.ok(['snapshot', 'dev', name]);
      const content = await hub.ok(['exec', 'dev', '--', 'cat', 'file']);
      if (known) expect(content.stdout).to.equal('old\n');
      return crashed;
    }, false);
  });

  const post = async (body: Readonly<Record<string, unknown>>) => {
    const answer = await hub.rest('POST', '/agents/dev/task', { type: 'exec', ...body });
    expect(answer.status, answer.text).to.equal(200);
    return answer;
  };
  let armedAt = 0;
  const armNow = () => writeFileSync(arm, `${armedAt}`);
  /** Starts the hub again when it was killed. Answers whether it was. */
  const untilBack = async (answer: unknown): Promise<boolean> => {
    for (let tries = 0; answer === undefined && tries < 50 && !hub.gone; tries += 1) await sleep(20);
    rmSync(arm, { force: true });
    if (!hub.gone) return false;
    await hub.startAgain();
    return true;
  };
  /** Counts the points of a scenario, then runs it again for each point that is tried. */
  const eachPoint = async (scenario: () => Promise<boolean>, armAtOnce = true) => {
    const run = async (at: number) => {
      rounds += 1;
      armedAt = at;
      if (armAtOnce) armNow();
      return scenario();
    };
    await run(0);
    const total = Number(readFileSync(`${arm}.count`, 'utf8').split(' ')[0]);
    expect(total).to.be.greaterThan(10);
    const step = Math.max(1, total / TRIED);
    let crashes = 0;
    for (let at = 1; at <= total; at += step) {
      const crashed = await run(Math.floor(at)).catch((err: unknown) => {
        const where = existsSync(`${arm}.count`) ? readFileSync(`${arm}.count`, 'utf8') : '';
        throw new Error(`killed at point ${Math.floor(at)} of ${total} (${where}): ${String(err)}`, {
          cause: err,
        });
      });
      if (crashed) crashes += 1;
    }
    expect(crashes).to.be.greaterThan(0);
  };
});
