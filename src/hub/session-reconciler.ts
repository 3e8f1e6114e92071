import type { AgentRecord } from '../model/agent.js';
import { emptyOutcome, isTerminal, type Task } from '../model/task.js';
import type { AgentSession } from './agent-session.js';
import type { HubContext } from './context.js';
import type { Fences } from './fences.js';
import type { AttemptReport, Hello } from './protocol.js';
import type { ReportIntake } from './report-intake.js';
import type { TaskChanges } from './task-changes.js';

/** Brings the store and an agent that has just said Hello to the same view of its attempts. */
export class SessionReconciler {
  constructor(
    private readonly ctx: HubContext,
    private readonly changes: TaskChanges,
    private readonly fences: Fences,
  ) {}

  /**
   * Before Welcome. What the store has in the agent's hand and the agent does not know is over, or goes back to
   * the queue when it never started. Of a journal that is behind what it once reported, or is another one, nothing
   * can be said to have never started.
   *
   * @param known the agent's record before this session.
   */
  async settle(session: AgentSession, known: AgentRecord | undefined): Promise<void> {
    const { hello } = session;
    const forgetful = known !== undefined && isForgetful(known, hello);
    if (forgetful)
      this.ctx.log.warn('an agent came back with an older or another journal', { agentId: session.agentId });
    const told = new Set(hello.attempts.map((report) => `${report.attempt}/${report.task}`));
    for (const task of await this.ctx.store.tasks.active(session.agentId)) {
      if (told.has(`${task.attempt}/${task.id}`) && !isRolledBack(known, hello)) session.hold(task);
      else if (task.state === 'RUNNING' || forgetful) await this.lose(task, forgetful);
      else await this.requeue(task);
    }
    await this.fences.confirmUnknown(session);
  }

  /** After Welcome. What the agent knows is taken in; what nobody wants any more is killed and forgotten. */
  async catchUp(session: AgentSession, reports: ReportIntake): Promise<void> {
    for (const task of session.cancelsDue()) session.cancel(task, false);
    for (const report of session.hello.attempts) {
      if (session.heldAttempt(report.task) === report.attempt || isTerminal(report.state))
        reports.takeHello(report);
      else await this.end(session, report);
    }
  }

  /** An attempt that goes on though it was given up: killed; its end is waited for where a task depends on it. */
  private async end(session: AgentSession, report: AttemptReport): Promise<void> {
    const { task, attempt } = report;
    if (await this.fences.given(session.agentId, report))
      session.send({ type: 'cancel', task, attempt, force: true });
    else session.send({ type: 'forget', task, attempt });
  }

  private async lose(task: Task, forgetful: boolean): Promise<void> {
    const outcome = forgetful
      ? emptyOutcome('JOURNAL_LOST', 'the agent came back without its journal of this task')
      : emptyOutcome('AGENT_CRASHED', 'the agent came back without this task');
    const { attempt } = task;
    await this.changes.apply(task.id, {
      type: 'lose',
      attempt,
      fenced: true,
      atMs: this.ctx.clock.now(),
      outcome,
    });
  }

  private async requeue(task: Task): Promise<void> {
    await this.changes.apply(task.id, { type: 'requeue', attempt: task.attempt });
    if (!task.cancelRequested) return;
    const outcome = emptyOutcome('CANCELLED', 'cancelled by a caller before it started');
    await this.changes.apply(task.id, { type: 'cancel', atMs: this.ctx.clock.now(), outcome });
  }
}

/** The machine's disk went back in time: its journal is behind what the hub has stored of it. */
function isRolledBack(known: AgentRecord | undefined, hello: Hello): boolean {
  return known?.journalId === hello.journalId && hello.journalSequence < known.ackedSequence;
}

function isForgetful(known: AgentRecord, hello: Hello): boolean {
  const another = known.journalId !== '' && known.journalId !== hello.journalId;
  return another || isRolledBack(known, hello);
}
