import { expect } from 'chai';
import { systemClock } from '../../../src/base/clock.js';
import type { TaskRequest } from '../../../src/hub/api.js';
import type { HubContext } from '../../../src/hub/context.js';
import { Furnisher } from '../../../src/hub/furnisher.js';
import type { Machines } from '../../../src/hub/machines.js';
import { HubError } from '../../../src/model/hub-error.js';
import type { Profile } from '../../../src/model/profile.js';
import { emptyOutcome, type Task, type TaskOutcome, type TaskState } from '../../../src/model/task.js';
import type { Vm, VmStage } from '../../../src/model/vm.js';
import { sampleAgent, sampleTask } from '../../support/samples.js';

const never = new AbortController().signal;
const EMPTY = { description: '', resources: {}, environment: {}, files: [], packages: [], repositories: [] };
const profile = (more: Partial<Profile>): Profile => ({ name: 'mine', ...EMPTY, setupTasks: [], ...more });

describe('Furnisher', () => {
  let posted: TaskRequest[];
  let stages: VmStage[];
  let cancelled: string[];
  /** How a task ends. */
  let end: (task: TaskRequest) => { readonly state: TaskState; readonly outcome?: Partial<TaskOutcome> };
  let isolation: Vm['isolation']['kind'];
  let allowHostSudo: boolean;
  let furnisher: Furnisher;

  beforeEach(() => {
    posted = [];
    stages = [];
    cancelled = [];
    end = () => ({ state: 'SUCCEEDED' });
    isolation = 'vm';
    allowHostSudo = false;
    const machines: Partial<Machines> = {
      get: () => ({ isolation: { kind: isolation }, allowHostSudo }) as Vm,
      stage: async (_name, stage) => void stages.push(stage),
    };
    const tasks = {
      create: async (request: TaskRequest) => {
        posted.push(request);
        return sampleTask({ id: request.id ?? '' });
      },
      wait: async (id: string, _ms: number, signal: AbortSignal): Promise<Task> => {
        signal.throwIfAborted();
        const request = posted.find((one) => one.id === id);
        if (!request) throw new Error(`nobody posted ${id}`);
        const { state, outcome } = end(request);
        return sampleTask({ id, state, outcome: { ...emptyOutcome('EXITED'), ...outcome } });
      },
      cancel: async (id: string) => {
        cancelled.push(id);
        return sampleTask({ id });
      },
    };
    const ctx = { clock: systemClock } as HubContext;
    furnisher = new Furnisher({ ctx, machines: machines as Machines, tasks });
  });

  const furnish = (more: Partial<Profile>, signal = never) =>
    furnisher.furnish(sampleAgent('dev', { registeredMs: 7 }), profile(more), signal);
  /** Some packages are not installed. */
  const missing =
    (names: string) =>
    ({ spec }: TaskRequest): ReturnType<typeof end> => ({
      state: 'SUCCEEDED',
      outcome: { stdoutTail: spec.sudo ? '' : `${names}\n` },
    });
  /** What was run: programs and lines, `sudo` before those that ask for it. */
  const runs = () =>
    posted.map(({ spec }) => {
      const text =
        spec.type === 'file:write'
          ? `write ${spec.filePath}`
          : spec.type === 'git:clone'
            ? `clone ${spec.repo} ${spec.destination ?? ''} ${spec.branch ?? ''}`.trim()
            : 'run' in spec && 'command' in spec.run
              ? spec.run.command
              : 'run' in spec && 'argv' in spec.run
                ? spec.run.argv.filter((arg) => !arg.includes('\n')).join(' ')
                : '';
      return spec.sudo ? `sudo ${text}` : text;
    });
  const detail = (name: string) => stages.filter((stage) => stage.name === name).at(-1)?.detail;
  const failure = async (work: Promise<void>) =>
    HubError.from(
      await work.then(
        () => undefined,
        (err: unknown) => err,
      ),
    );

  it('runs packages, files, repositories and setup tasks in this order, in a lane of its own', async () => {
    end = missing('git jq');
    await furnish({
      setupTasks: [{ command: 'make setup', description: '' }],
      repositories: [{ url: 'https://x/a.git', destination: '/opt/a', branch: 'dev' }],
      files: [{ path: '~/.npmrc', content: 'x' }],
      packages: ['git', 'jq'],
    });
    expect(runs()).to.deep.equal([
      '/bin/sh -c packages git jq',
      'sudo /bin/sh -c packages git jq',
      'write .npmrc',
      'clone https://x/a.git /opt/a dev',
      'make setup',
    ]);
    expect(posted.every(({ lane, agent }) => lane === 'profile' && agent === 'dev')).to.equal(true);
    expect(posted.map(({ id }) => id)).to.deep.equal([1, 2, 3, 4, 5].map((n) => `profile-dev-7-${n}`));
    const ended = stages.filter((stage) => stage.durationMs !== undefined);
    expect(ended.map(({ name }) => name)).to.deep.equal(['packages', 'files', 'repositories', 'setup']);
  });

  it('does nothing for an empty profile', async () => {
    await furnish({});
    expect([posted, stages]).to.deep.equal([[], []]);
  });

  it('installs nothing when everything is there', async () => {
    await furnish({ packages: ['git'] });
    expect(runs()).to.deep.equal(['/bin/sh -c packages git']);
    expect(detail('packages')).to.equal('1 installed already');
  });

  it('never makes a shell line of package names', async () => {
    end = missing('something');
    const name = 'a"; rm -rf /; "';
    await furnish({ packages: [name] });
    for (const { spec } of posted) {
      const argv = 'run' in spec && 'argv' in spec.run ? spec.run.argv : [];
      expect(argv[2]).to.not.contain('rm -rf');
      expect(argv.at(-1)).to.equal(name);
    }
  });

  it('writes system files through sudo, and a user own ones without', async () => {
    await furnish({
      files: [
        { path: '/etc/docker/daemon.json', content: '{}' },
        { path: '/opt/app/conf', content: 'x' },
      ],
    });
    expect(runs()).to.deep.equal([
      'write /tmp/.vm-agent-profile-file-1',
      'sudo /bin/sh -c install -D -m 0644 -- "$1" "$2" && rm -f -- "$1" install /tmp/.vm-agent-profile-file-1 /etc/docker/daemon.json',
      'write /opt/app/conf',
    ]);
  });

  for (const kind of ['namespaces', 'directory'] as const) {
    it(`leaves packages out where tasks have no sudo (${kind}), and says which and why`, async () => {
      isolation = kind;
      end = missing('jq');
      await furnish({ packages: ['git', 'jq'] });
      expect(posted).to.have.length(1);
      expect(detail('packages')).to.match(
        /^skipped, not installed: jq \(tasks have no sudo.*--allow-host-sudo\)$/,
      );
    });
  }

  it('uses the sudo of the host where that was allowed', async () => {
    isolation = 'namespaces';
    allowHostSudo = true;
    end = missing('jq');
    await furnish({ packages: ['jq'] });
    expect(posted.map(({ spec }) => spec.sudo)).to.deep.equal([false, true]);
  });

  it('ends at the first step that fails, with its name and what it wrote last', async () => {
    end = ({ spec }) =>
      'run' in spec && 'command' in spec.run && spec.run.command === 'two'
        ? { state: 'FAILED', outcome: { exitCode: 3, stdoutTail: 'so far\n', stderrTail: 'no such thing\n' } }
        : { state: 'SUCCEEDED' };
    const setupTasks = ['one', 'two', 'three'].map((command) => ({
      command,
      description: `step ${command}`,
    }));
    const err = await failure(furnish({ setupTasks }));
    expect(err.reason).to.equal('PROFILE_FAILED');
    expect(err.message).to.equal(
      'profile mine, setup, step two: exit code 3; its last output:\nso far\nno such thing',
    );
    expect(runs()).to.deep.equal(['one', 'two']);
    expect(stages.at(-1)).to.include({ name: 'setup', error: 'step two: exit code 3' });
  });

  it('names a step that ended otherwise than by itself', async () => {
    end = () => ({ state: 'LOST', outcome: { reason: 'VM_STOPPED', message: 'the machine is gone' } });
    const err = await failure(furnish({ setupTasks: [{ command: 'true', description: '' }] }));
    expect(err.message).to.contain('true: the machine is gone; it wrote nothing');
  });

  it('cancels the step that runs when nobody waits any more, but not when the hub stops', async () => {
    for (const [reason, count] of [
      [new HubError('CANCELLED', 'gone'), 1],
      [new HubError('HUB_STOPPING', 'stopping'), 0],
    ] as const) {
      posted = [];
      cancelled = [];
      const leaving = new AbortController();
      end = () => {
        leaving.abort(reason);
        throw reason;
      };
      const err = await failure(
        furnish({ setupTasks: [{ command: 'true', description: '' }] }, leaving.signal),
      );
      expect(err).to.equal(reason);
      expect(cancelled).to.have.length(count);
    }
  });
});
