import { expect } from 'chai';
import fc from 'fast-check';
import type { Vm } from '../../../src/model/vm.js';
import { check } from '../../support/history/check.js';
import { exitOf, History, type TaskPlan } from '../../support/history/evidence.js';
import { HubHarness } from '../../support/hub-harness.js';
import { ModelAgent } from '../../support/model-agent.js';
import { propertyOptions } from '../../support/property.js';

const AGENTS = ['a', 'b', 'c'];
/** Rounds in which everything has to come to its end when nothing bad happens any more. */
const LAST_ROUNDS = 200;

type Step =
  | {
      readonly type: 'post';
      readonly agent: number;
      readonly pooled: boolean;
      readonly lane: string;
      readonly failUntil: number;
      readonly maxAttempts: number;
    }
  | { readonly type: 'cancel' | 'postAgain'; readonly task: number }
  | { readonly type: 'hear'; readonly agent: number; readonly frames: number }
  | {
      readonly type: 'connect' | 'cut' | 'start' | 'end' | 'repeat' | 'crash' | 'restore';
      readonly agent: number;
    }
  | { readonly type: 'restartHub' | 'wait' };

const agent = fc.integer({ min: 0, max: AGENTS.length - 1 });
const post = fc.record({
  type: fc.constant('post' as const),
  agent,
  pooled: fc.boolean(),
  lane: fc.constantFrom('default', 'default', 'side'),
  failUntil: fc.constantFrom(0, 0, 1, 9),
  maxAttempts: fc.constantFrom(1, 1, 2, 3),
});
const ofTask = fc.record({ type: fc.constantFrom('cancel' as const, 'postAgain' as const), task: fc.nat() });
const hear = fc.record({
  type: fc.constant('hear' as const),
  agent,
  frames: fc.integer({ min: 1, max: 20 }),
});
const work = fc.record({
  type: fc.constantFrom('connect' as const, 'start' as const, 'end' as const, 'repeat' as const),
  agent,
});
const trouble = fc.record({
  type: fc.constantFrom('cut' as const, 'cut' as const, 'crash' as const, 'restore' as const),
  agent,
});
const hub = fc.constantFrom<Step>(
  { type: 'restartHub' },
  { type: 'wait' },
  { type: 'wait' },
  { type: 'wait' },
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: post },
    { weight: 6, arbitrary: hear },
    { weight: 9, arbitrary: work },
    { weight: 2, arbitrary: trouble },
    { weight: 1, arbitrary: ofTask },
    { weight: 2, arbitrary: hub },
  ),
  { minLength: 5, maxLength: 80 },
);

/** A hub on a real store with agents that do one step at a time, and what is observed of them. */
class World {
  private readonly history = new History();
  private readonly plans = new Map<string, TaskPlan>();
  private readonly bodies = new Map<string, Extract<Step, { type: 'post' }>>();
  private readonly generations = new Map<string, number>();
  private readonly agents = AGENTS.map(
    (id) => new ModelAgent(id, (name, attempt) => this.history.add({ type: 'marker', name, attempt })),
  );

  private constructor(private harness: HubHarness) {}

  static async open(): Promise<World> {
    const world = new World(await HubHarness.start());
    for (const id of AGENTS) await world.harness.hub.agents.register(id, {});
    return world;
  }

  async run(step: Step): Promise<void> {
    await this.take(step);
    await this.look();
  }

  /** Nothing bad happens any more: everything comes to its end. Answers what was wrong. */
  async finish() {
    for (let round = 0; round < LAST_ROUNDS && !(await this.allEnded()); round++) {
      for (const one of this.agents) {
        one.connect(this.harness.hub);
        one.hear();
        one.start();
        one.end(this.exitOf);
      }
      await settle();
    }
    await this.look();
    return check(this.history, { lostReasons: ['RESTORED', 'AGENT_CRASHED'] });
  }

  async close(): Promise<void> {
    for (const one of this.agents) one.cut();
    await settle();
    await this.harness.close();
  }

  private async take(step: Step): Promise<void> {
    const one = 'agent' in step ? this.agents[step.agent] : undefined;
    if (step.type === 'post') await this.post(`task-${this.plans.size}`, step);
    else if (step.type === 'cancel' || step.type === 'postAgain') await this.onTask(step);
    else if (step.type === 'restartHub') await this.restartHub();
    else if (step.type === 'restore') await this.restore(step.agent);
    else if (step.type === 'wait') await settle();
    else if (step.type === 'connect') one?.connect(this.harness.hub);
    else if (step.type === 'hear') one?.hear(step.frames);
    else if (step.type === 'end') one?.end(this.exitOf);
    else one?.[step.type]();
    await new Promise(setImmediate);
  }

  private async post(name: string, step: Extract<Step, { type: 'post' }>): Promise<void> {
    const { failUntil, maxAttempts, lane } = step;
    const plan = { name, lines: { STDOUT: 0, STDERR: 0 }, failUntil, exitCode: 7, maxAttempts };
    this.plans.set(name, plan);
    this.bodies.set(name, step);
    this.history.add({ type: 'posted', plan });
    const target = step.pooled ? undefined : AGENTS[step.agent];
    const task = await this.harness.post(target, { id: name, idempotencyKey: name, lane, maxAttempts });
    this.history.add({ type: 'accepted', name, id: task.id });
  }

  private async onTask({ type, task }: Extract<Step, { type: 'cancel' | 'postAgain' }>): Promise<void> {
    const name = [...this.plans.keys()][task % Math.max(1, this.plans.size)];
    const body = this.bodies.get(name ?? '');
    if (name === undefined || !body) return;
    if (type === 'postAgain') return this.post(name, body);
    this.history.add({ type: 'cancelled', name });
    await this.harness.hub.tasks.cancel(name, false);
  }

  private async restartHub(): Promise<void> {
    await this.harness.stop();
    for (const one of this.agents) one.cut();
    this.harness = await HubHarness.start({}, this.harness.dir);
  }

  /** As the machine manager does it: the new generation first, then the machine, then it starts. */
  private async restore(index: number): Promise<void> {
    const id = AGENTS[index] ?? '';
    const generation = (this.generations.get(id) ?? 1) + 1;
    this.generations.set(id, generation);
    await this.harness.hub.fence(id, 'RESTORED', generation);
    this.agents[index]?.restore(generation);
    const machine = { name: id, provider: 'local', stages: [], error: '', generation };
    for (const state of ['STOPPED', 'STARTING', 'RUNNING'] as const)
      await this.harness.hub.machineChanged({ ...machine, state } as unknown as Vm);
  }

  private readonly exitOf = (name: string, attempt: number): number => {
    const plan = this.plans.get(name);
    return plan ? exitOf(plan, attempt) : 0;
  };

  private async allEnded(): Promise<boolean> {
    const { queued, dispatched, running } = await this.harness.ctx.store.tasks.counts();
    return queued + dispatched + running === 0;
  }

  private async look(): Promise<void> {
    for (const id of this.plans.keys()) {
      const { task, attempts } = await this.harness.hub.tasks.get(id);
      const view = {
        id,
        state: task.state,
        attempt: task.attempt,
        reason: task.outcome?.reason ?? '',
        ...(task.outcome?.exitCode === undefined ? {} : { exitCode: task.outcome.exitCode }),
        endTime: String(task.endMs ?? ''),
        bytes: { STDOUT: 0, STDERR: 0 },
        lostBytes: task.outcome?.lostBytes ?? 0,
        attempts: Object.fromEntries(attempts.map(({ number, state }) => [number, state])),
      };
      this.history.add({ type: 'seen', view });
    }
  }
}

/** Lets the hub do what it can do now. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await new Promise(setImmediate);
}

describe('the hub and agents in any order of events', function () {
  this.timeout(300_000);

  it('end every task once, run every attempt at most once, and lose nothing', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const world = await World.open();
        try {
          for (const step of all) await world.run(step);
          expect((await world.finish()).map((found) => Object.values(found).join(': ')).join('\n')).to.equal(
            '',
          );
        } finally {
          await world.close();
        }
      }),
      propertyOptions(60),
    );
  });
});
