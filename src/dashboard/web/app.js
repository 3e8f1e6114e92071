import { cellOf, createRow, element, setText, showMeter, showState, syncRows } from './dom.js';
import { agentState, ago, duration, exitText, percent, taskState, taskSummary } from './format.js';

const REFRESH_MS = 2000;
const TIMEOUT_MS = 5000;
const AGENT_LABELS = ['Name', 'State', 'CPU', 'Memory', 'Disk', 'Tasks', 'Last seen'];
const TASK_LABELS = ['Task', 'State', 'Agent', 'What', 'Exit code', 'Took', 'Accepted'];

const byId = (id) => document.getElementById(id);

let timer;
let lastGood;

document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  if (!document.hidden) void refresh();
});
void refresh();

/** The one loop: asks, shows, and asks again later. It rests while the page is hidden. */
async function refresh() {
  try {
    const [health, stats, agents, tasks] = await Promise.all(
      ['/api/health', '/api/admin/stats', '/api/agents', '/api/tasks?pageSize=20'].map(getJson),
    );
    lastGood = new Date();
    show({ health, stats, agents, tasks });
    showTrouble('');
  } catch (err) {
    showTrouble(troubleText(err));
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

async function getJson(path) {
  const res = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-store' });
  if (res.ok) return res.json();
  const { message = res.statusText } = await res.json().catch(() => ({}));
  throw new Error(`the hub answered ${res.status}: ${message}`);
}

function troubleText(err) {
  const since = lastGood === undefined ? '' : ` This is how it was at ${lastGood.toLocaleTimeString()}.`;
  const why = err.message.startsWith('the hub answered') ? ` (${err.message})` : '';
  return `Disconnected${why}. Trying again every ${REFRESH_MS / 1000} seconds.${since}`;
}

function showTrouble(text) {
  const bar = byId('trouble');
  if (bar.hidden !== (text === '')) bar.hidden = text === '';
  setText(bar, text);
  document.body.classList.toggle('stale', text !== '');
  if (text !== '' && lastGood === undefined) setText(byId('hub'), 'not connected');
}

function show({ health, stats, agents, tasks }) {
  const { total, online } = health.agents;
  setText(byId('total-agents'), String(total));
  setText(byId('online-agents'), String(online));
  setText(byId('offline-agents'), String(total - online));
  setText(byId('active-tasks'), String(stats.router.activeTasks));
  setText(byId('hub'), `hub ${health.version} · up ${duration(health.uptime * 1000)} · ${health.status}`);
  document.title = total === online ? 'VM Agents' : `(${total - online} offline) VM Agents`;
  showAgents(agents);
  showTasks(tasks.tasks);
  showChecks(health.checks);
}

function showAgents({ agents, nextPageToken }) {
  byId('no-agents').hidden = agents.length > 0;
  byId('agent-table').hidden = agents.length === 0;
  byId('more-agents').hidden = nextPageToken === '';
  setText(byId('more-agents'), `The first ${agents.length} agents by name. vm-agent list shows all of them.`);
  const create = () => createRow(AGENT_LABELS);
  syncRows(byId('agent-rows'), agents, (agent) => agent.id, create, showAgent);
}

function showAgent(row, agent) {
  const { health, currentTasks, queuedTasks } = agent;
  setText(cellOf(row, 0), agent.id);
  showState(cellOf(row, 1), agentState(agent), agent.stateReason);
  const shares = [health?.cpu, health?.memory?.usagePercent, health?.disk?.usagePercent];
  const isLive = agent.state === 'ONLINE';
  shares.forEach((share, i) => {
    showMeter(cellOf(row, i + 2), AGENT_LABELS[i + 2], isLive ? percent(share) : undefined);
  });
  const running = currentTasks.length;
  setText(
    cellOf(row, 5),
    queuedTasks > 0 ? `${running} running, ${queuedTasks} queued` : `${running} running`,
  );
  setText(cellOf(row, 6), agent.lastSeen === null ? 'never' : ago(agent.lastSeen, Date.now()));
}

function showTasks(tasks) {
  byId('no-tasks').hidden = tasks.length > 0;
  byId('task-table').hidden = tasks.length === 0;
  const create = () => createRow(TASK_LABELS);
  syncRows(byId('task-rows'), tasks, (task) => task.id, create, showTask);
}

function showTask(row, task) {
  const started = Date.parse(task.startTime ?? '');
  const ended = Date.parse(task.endTime ?? '');
  cellOf(row, 0).className = 'mono';
  setText(cellOf(row, 0), task.id.length > 12 ? `${task.id.slice(0, 12)}…` : task.id);
  cellOf(row, 0).title = task.id;
  showState(cellOf(row, 1), taskState(task), task.stateReason);
  setText(cellOf(row, 2), task.agent || '–');
  cellOf(row, 3).className = 'mono';
  setText(cellOf(row, 3), taskSummary(task));
  setText(cellOf(row, 4), exitText(task));
  setText(cellOf(row, 5), duration((Number.isFinite(ended) ? ended : Date.now()) - started));
  setText(cellOf(row, 6), ago(Date.parse(task.createTime ?? ''), Date.now()));
}

function showChecks(checks) {
  const create = () => element('li');
  syncRows(
    byId('checks'),
    checks,
    (check) => check.name,
    create,
    (item, check) => {
      const isOk = check.status === 'ok';
      const state = isOk
        ? { icon: '✓', word: check.name, tone: 'good' }
        : { icon: '✗', word: `${check.name} ${check.status}`, tone: 'bad' };
      showState(item, state, check.message);
    },
  );
}
