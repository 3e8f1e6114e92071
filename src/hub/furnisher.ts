import type { AgentRecord } from '../model/agent.js';
import { HubError } from '../model/hub-error.js';
import type { Profile } from '../model/profile.js';
import type { Task } from '../model/task.js';
import { letsSudo, type StageName } from '../model/vm.js';
import type { TasksApi } from './api.js';
import type { HubContext } from './context.js';
import type { Machines } from './machines.js';
import { type ProfileStep, packageCheck, packageInstall, profileSteps } from './profile-steps.js';
import { isStopping } from './stopping.js';

/** Lane of the tasks that furnish a machine. */
const LANE = 'profile';
/** Longer than any step may take. */
const WAIT_MS = 3_600_000;
/** Characters of each stream that the error of a failed step shows. */
const TAIL_CHARS = 2_000;

/** What {@link Furnisher} works with. */
export interface FurnisherParts {
  readonly ctx: HubContext;
  readonly machines: Machines;
  readonly tasks: Pick<TasksApi, 'create' | 'wait' | 'cancel'>;
}

/**
 * Furnishes a new machine as its profile says, by tasks of its agent, one after the other. The tasks have ids of their
 * own, so that a hub that comes after a crash goes on where this one was.
 */
export class Furnisher {
  constructor(private readonly parts: FurnisherParts) {}

  /** @throws HubError PROFILE_FAILED naming the step and what it wrote last. */
  async furnish(agent: AgentRecord, profile: Profile, signal: AbortSignal): Promise<void> {
    const maySudo = letsSudo(this.parts.machines.get(agent.id));
    let number = 0;
    const run = (step: ProfileStep) => {
      number += 1;
      return this.run(agent, `profile-${agent.id}-${agent.registeredMs}-${number}`, step, signal);
    };
    if (profile.packages.length > 0) {
      await this.stage(agent.id, 'packages', (tell) => this.packages(profile, { maySudo, run, tell }));
    }
    const steps = profileSteps(profile, maySudo);
    for (const name of ['files', 'repositories', 'setup'] as const) {
      const own = steps.filter((step) => step.stage === name);
      if (own.length === 0) continue;
      await this.stage(agent.id, name, async (tell) => {
        for (const [i, step] of own.entries()) {
          await tell(`${i + 1} of ${own.length}: ${step.label}`);
          const task = await run(step);
          if (task.state !== 'SUCCEEDED') throw failure(profile, step, task);
        }
        return `${own.length} done`;
      });
    }
  }

  private async packages(profile: Profile, { maySudo, run, tell }: PackageTools): Promise<string> {
    const { packages } = profile;
    await tell('looking which are installed');
    const look = packageCheck(profile);
    const check = await run(look);
    if (check.state !== 'SUCCEEDED') throw failure(profile, look, check);
    const missing = check.outcome?.stdoutTail.trim() ?? '';
    if (missing === '') return `${packages.length} installed already`;
    if (!maySudo) return `skipped, not installed: ${missing} (${NO_SUDO})`;
    const install = packageInstall(profile);
    await tell(`installing ${missing}`);
    const task = await run(install);
    if (task.state !== 'SUCCEEDED') throw failure(profile, install, task);
    return `installed ${missing}`;
  }

  /** Runs one step to its end; ends it when nobody waits for it any more. */
  private async run(agent: AgentRecord, id: string, step: ProfileStep, signal: AbortSignal): Promise<Task> {
    const { tasks } = this.parts;
    signal.throwIfAborted();
    const order = { lane: LANE, onFailure: 'CONTINUE', after: [], requiredCapabilities: [] } as const;
    const about = { priority: 0, labels: {}, maxAttempts: 1, creator: 'hub' };
    await tasks.create({ id, agent: agent.id, spec: step.spec, ...order, ...about });
    try {
      return await tasks.wait(id, WAIT_MS, signal);
    } catch (err) {
      // When the hub stops, the task goes on, and the next hub waits for it.
      if (signal.aborted && !isStopping(signal)) await tasks.cancel(id, true).catch(() => {});
      throw err;
    }
  }

  /** A stage of the machine; `tell` says what it is at, and the answer what came of it. */
  private async stage(
    agent: string,
    name: StageName,
    work: (tell: (detail: string) => Promise<void>) => Promise<string>,
  ): Promise<void> {
    const { ctx, machines } = this.parts;
    const began = ctx.clock.monotonic();
    const took = () => Math.round(ctx.clock.monotonic() - began);
    let detail = '';
    const tell = (text: string) => {
      detail = text;
      return machines.stage(agent, { name, detail });
    };
    try {
      const result = await work(tell);
      await machines.stage(agent, { name, detail: result, durationMs: took() });
    } catch (err) {
      const error = err instanceof HubError ? (err.metadata.problem ?? err.message) : String(err);
      await machines.stage(agent, { name, detail, durationMs: took(), error }).catch(() => {});
      throw err;
    }
  }
}

interface PackageTools {
  readonly maySudo: boolean;
  readonly run: (step: ProfileStep) => Promise<Task>;
  readonly tell: (detail: string) => Promise<void>;
}

const NO_SUDO =
  'tasks have no sudo on this host; install them on the host, or create with --provider qemu or --allow-host-sudo';

function failure(profile: Profile, step: ProfileStep, task: Task): HubError {
  const { outcome } = task;
  const code = outcome?.exitCode === undefined ? '' : `exit code ${outcome.exitCode}`;
  const why = code || outcome?.message || outcome?.signal || outcome?.reason || task.state;
  const tail = [outcome?.stdoutTail, outcome?.stderrTail]
    .map((text) => (text ?? '').trim().slice(-TAIL_CHARS))
    .filter((text) => text !== '')
    .join('\n');
  const output = tail === '' ? 'it wrote nothing' : `its last output:\n${tail}`;
  const problem = `${step.label}: ${why}`;
  const message = `profile ${profile.name}, ${step.stage}, ${problem}; ${output}`;
  const metadata = { profile: profile.name, step: step.label, task: task.id, problem };
  return new HubError('PROFILE_FAILED', message, { metadata });
}
