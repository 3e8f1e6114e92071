import type { TaskPlan } from '../support/history/evidence.js';
import { Random } from '../support/random.js';
import type { ChaosOptions } from './options.js';

/** A task of a run: what it does, and what is done with it. */
export interface ChaosTask {
  readonly plan: TaskPlan;
  readonly agent: string;
  /** Whether the caller chooses the id, which is the name then. */
  readonly ownId: boolean;
  /** Handed in a second time, with the same key, some time after the first. */
  readonly again: boolean;
  /** Cancelled so long after it was accepted. */
  readonly cancelAfterMs: number | undefined;
  readonly force: boolean;
  /** What is wrong with it: it is refused and must never run. */
  readonly wrong: 'agent' | 'conflict' | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * What every task runs. It writes its marker before anything else, then its lines, in bursts with a rest between
 * them. What it leaves in the background must be gone when it has ended.
 */
const SCRIPT = `
attempt=\${VM_AGENT_RUN##*~}; attempt=\${attempt%;}
echo "$CHAOS_TASK $attempt" >> "$CHAOS_MARKS/$CHAOS_AGENT" && sync -d "$CHAOS_MARKS/$CHAOS_AGENT" || exit 99
[ -z "$CHAOS_CHILD" ] || sleep 300 > /dev/null 2>&1 &
[ "$CHAOS_CHILD" != apart ] || setsid sleep 300 > /dev/null 2>&1 &
trap "$CHAOS_TRAP" TERM
out=0; err=0
while [ $out -lt $CHAOS_OUT ] || [ $err -lt $CHAOS_ERR ]; do
  burst=0
  while [ $burst -lt $CHAOS_BURST ]; do
    burst=$((burst + 1))
    [ $out -ge $CHAOS_OUT ] || { out=$((out + 1)); echo "$CHAOS_TASK $attempt STDOUT $out"; }
    [ $err -ge $CHAOS_ERR ] || { err=$((err + 1)); echo "$CHAOS_TASK $attempt STDERR $err" >&2; }
  done
  { sleep $CHAOS_REST; } 2> /dev/null
done
[ $attempt -gt $CHAOS_FAIL_UNTIL ] && exit 0
exit $CHAOS_EXIT
`;

/** All tasks of a run, in the order in which they are handed in. */
export function tasksOf(
  options: ChaosOptions,
  agents: readonly string[],
  marks: string,
): readonly ChaosTask[] {
  const random = Random.for(options.seed, 'tasks');
  return Array.from({ length: options.tasks }, (_, n) => taskOf(random, n, agents, marks));
}

function taskOf(random: Random, n: number, agents: readonly string[], marks: string): ChaosTask {
  const plan = planOf(random, n);
  const agent = random.pick(agents);
  const bursts = random.int(1, 4);
  const most = Math.max(plan.lines.STDOUT, plan.lines.STDERR, 1);
  const pace = {
    burst: Math.ceil(most / bursts),
    rest: `0.${random.pick(['0', '05', '1', '2', '4', '9'])}`,
    child: random.pick(['', '', '', '', 'beside', 'apart'] as const),
    stubborn: random.chance(0.1),
  };
  const lane = random.pick(['default', 'default', 'side', `own-${n % 7}`]);
  const wrong = random.chance(0.02) ? random.pick(['agent', 'conflict'] as const) : undefined;
  const ownId = wrong === 'conflict' || random.chance(0.5);
  return {
    plan,
    agent,
    ownId,
    again: random.chance(0.05),
    cancelAfterMs: random.chance(0.06) ? random.int(0, 3000) : undefined,
    force: random.chance(0.5),
    wrong,
    body: { ...bodyOf(plan, { agent, marks, ...pace }), lane },
  };
}

/** How a task goes about its plan. */
export interface Pace {
  readonly agent: string;
  /** Directory of the markers. */
  readonly marks: string;
  /** Lines of each stream between two rests. */
  readonly burst: number;
  /** Seconds of a rest. */
  readonly rest: string;
  /** A process that it leaves in the background: in its group, or in a session of its own. */
  readonly child?: '' | 'beside' | 'apart';
  /** Whether it does not hear SIGTERM. */
  readonly stubborn?: boolean;
}

/** The request that makes a task do what its plan says. */
export function bodyOf(plan: TaskPlan, pace: Pace): Readonly<Record<string, unknown>> {
  const env = {
    CHAOS_TASK: plan.name,
    CHAOS_AGENT: pace.agent,
    CHAOS_MARKS: pace.marks,
    CHAOS_CHILD: pace.child ?? '',
    CHAOS_TRAP: pace.stubborn ? '' : 'exit 143',
    CHAOS_OUT: `${plan.lines.STDOUT}`,
    CHAOS_ERR: `${plan.lines.STDERR}`,
    CHAOS_BURST: `${pace.burst}`,
    CHAOS_REST: pace.rest,
    CHAOS_FAIL_UNTIL: `${plan.failUntil}`,
    CHAOS_EXIT: `${plan.exitCode}`,
  };
  const retry = plan.maxAttempts > 1 ? { retry: { maxAttempts: plan.maxAttempts } } : {};
  return { type: 'exec', command: SCRIPT, env, timeout: 600_000, ...retry };
}

function planOf(random: Random, n: number): TaskPlan {
  const fails = random.chance(0.2);
  const maxAttempts = random.chance(0.15) ? random.int(2, 3) : 1;
  return {
    name: `task-${String(n).padStart(5, '0')}`,
    lines: { STDOUT: linesOf(random), STDERR: linesOf(random) },
    failUntil: fails ? random.pick([1, 1, 1_000_000]) : 0,
    exitCode: fails ? random.int(1, 120) : 0,
    maxAttempts,
  };
}

function linesOf(random: Random): number {
  const kind = random.next();
  if (kind < 0.1) return 0;
  return kind < 0.95 ? random.int(1, 30) : random.int(500, 2500);
}
