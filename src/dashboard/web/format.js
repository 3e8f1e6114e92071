// What values look like. Pure functions; nothing here touches the page.

/** Icon, word and tone of an agent's state. */
export function agentState(agent) {
  if (agent.state === 'ONLINE') {
    return agent.busy
      ? { icon: '◉', word: 'busy', tone: 'busy' }
      : { icon: '●', word: 'online', tone: 'good' };
  }
  return AGENT_STATES[agent.state] ?? { icon: '?', word: String(agent.status ?? 'unknown'), tone: 'calm' };
}

/** Icon, word and tone of a task's state. */
export function taskState(task) {
  if (task.cancelRequested && !ENDED.has(task.state)) return { icon: '◌', word: 'cancelling', tone: 'warn' };
  return TASK_STATES[task.state] ?? { icon: '?', word: String(task.state ?? 'unknown'), tone: 'calm' };
}

/** What a task does, in one line of at most 80 characters. */
export function taskSummary(task) {
  const { type = '', command, argv, script, repo, filePath } = task.spec ?? {};
  const what = command || (argv ?? []).join(' ') || repo || filePath || script || '';
  const line = `${type} ${what}`.replace(/\s+/g, ' ').trim();
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}

/** Exit code of a task, or the signal that ended it. */
export function exitText(task) {
  const { outcome } = task;
  if (!outcome) return '';
  if (outcome.exitCode !== undefined && outcome.exitCode !== null) return String(outcome.exitCode);
  return outcome.signal || '–';
}

/** A share in percent as a whole number from 0 to 100, or undefined when it is not known. */
export function percent(value) {
  return typeof value === 'number' && Number.isFinite(value)
    ? Math.round(Math.min(100, Math.max(0, value)))
    : undefined;
}

/** How long something took: `240 ms`, `3.1 s`, `4m 12s`, `2h 5m`. */
export function duration(ms) {
  if (!Number.isFinite(ms) || ms < 0) return '';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return longDuration(ms / 1000);
}

/** How long ago a time is: `now`, `12 s ago`, `2h 5m ago`. */
export function ago(timeMs, nowMs) {
  if (!Number.isFinite(timeMs)) return '–';
  const seconds = Math.floor(Math.max(0, nowMs - timeMs) / 1000);
  if (seconds < 3) return 'now';
  return seconds < 60 ? `${seconds} s ago` : `${longDuration(seconds)} ago`;
}

function longDuration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${Math.floor(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h ${minutes % 60}m` : `${Math.floor(hours / 24)} days`;
}

const AGENT_STATES = {
  CREATING: { icon: '◌', word: 'creating', tone: 'busy' },
  OFFLINE: { icon: '○', word: 'offline', tone: 'calm' },
  DESTROYING: { icon: '◌', word: 'destroying', tone: 'warn' },
  FAILED: { icon: '⚠', word: 'failed', tone: 'bad' },
};

const TASK_STATES = {
  QUEUED: { icon: '○', word: 'queued', tone: 'calm' },
  DISPATCHED: { icon: '◔', word: 'dispatched', tone: 'busy' },
  RUNNING: { icon: '◉', word: 'running', tone: 'busy' },
  SUCCEEDED: { icon: '✓', word: 'succeeded', tone: 'good' },
  FAILED: { icon: '✗', word: 'failed', tone: 'bad' },
  CANCELLED: { icon: '⊘', word: 'cancelled', tone: 'calm' },
  TIMED_OUT: { icon: '⏱', word: 'timed out', tone: 'bad' },
  LOST: { icon: '⚠', word: 'lost', tone: 'bad' },
};

const ENDED = new Set(['SUCCEEDED', 'FAILED', 'CANCELLED', 'TIMED_OUT', 'LOST']);
