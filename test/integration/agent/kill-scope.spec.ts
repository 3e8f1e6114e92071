import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { findKillScope } from '../../../src/agent/kill-scope.js';
import { AgentHarness } from '../../support/agent-harness.js';

const CGROUPS = '/sys/fs/cgroup/unified';

describe('findKillScope', () => {
  it('finds a scope, and leaves no process of the trial', async () => {
    const scope = await findKillScope({ uid: process.getuid?.() ?? 0 });
    expect(scope.name).to.be.oneOf(['pid_namespace', 'cgroup', 'process_group']);
    const left = execFileSync('ps', ['-eo', 'stat,ppid,args'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => !line.startsWith('Z') && line.includes('test -e /proc/2'));
    expect(left).to.deep.equal([]);
  });

  it('ends tasks through a cgroup where that is what the host has', async function () {
    if (!existsSync(join(CGROUPS, 'cgroup.procs')) || process.getuid?.() !== 0) this.skip();
    const root = join(CGROUPS, `vm-agent-test-${process.pid}`);
    mkdirSync(root);
    const harness = new AgentHarness();
    try {
      await harness.start({ scope: { name: 'cgroup', root, startMs: 0 } });
      const command =
        "(env -i setsid sh -c 'while :; do sleep 0.01; touch alive; done' >/dev/null 2>&1 &); exit 5";
      const { outcome } = await harness.hub.exec('t', command);
      expect(outcome).to.include({ exitCode: 5, killed: false });
      const { state } = await harness.hub.exec('u', 'rm -f alive; sleep 0.2; test ! -e alive');
      expect(state).to.equal('SUCCEEDED');
      const end = await harness.hub.exec('v', "trap '' TERM; kill -SEGV $$");
      expect(end.outcome?.signal).to.equal('SIGSEGV');
    } finally {
      await harness.close();
      rmdirSync(root);
    }
  });
});
