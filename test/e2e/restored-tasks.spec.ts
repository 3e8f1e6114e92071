import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { at } from '../support/e2e/json-path.js';

describe('a machine restored to a snapshot that was taken while a task ran', function () {
  this.timeout(120_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
    await hub.ok(['create', 'dev']);
  });
  after(() => hub?.close());

  const post = async (command: string) =>
    String((await hub.rest('POST', '/agents/dev/task', { type: 'exec', command })).at('taskId'));
  const task = async (id: string) => (await hub.rest('GET', `/tasks/${id}`)).json;

  /** Resolves when a task has written its first line. */
  async function speaks(id: string): Promise<void> {
    for (let text = ''; !text.includes('up'); )
      text = (await hub.rest('GET', `/tasks/${id}/output?stream=stdout`)).text;
  }

  it('keeps the stored result as it is, ends what ran now as LOST, and runs what comes', async () => {
    const first = await post('echo up; until [ -e /opt/go ]; do sleep 0.05; done; echo end');
    await speaks(first);
    await hub.ok(['snapshot', 'dev', 'middle']);
    await hub.ok(['exec', 'dev', 'touch /opt/go']);
    expect(at(await hub.ended(first), 'state')).to.equal('SUCCEEDED');
    const stored = await task(first);
    const second = await post('echo up; sleep 600');
    await speaks(second);
    await hub.ok(['restore', 'dev', 'middle']);
    const lost = await hub.ended(second);
    expect([at(lost, 'state'), at(lost, 'outcome.reason')]).to.deep.equal(['LOST', 'RESTORED']);
    const left = await hub.cli([
      'exec',
      'dev',
      "ls /opt/go; cat /proc/[0-9]*/cmdline | grep -a '[o]pt/go; do'",
    ]);
    expect(left.stdout, 'neither the file nor the task of the snapshot').to.equal('');
    const third = await hub.ended(await post('echo on'));
    expect([at(third, 'state'), at(third, 'attempt')]).to.deep.equal(['SUCCEEDED', 1]);
    expect(await task(first)).to.deep.equal(stored);
    const { text } = await hub.rest('GET', `/tasks/${first}/output?stream=stdout`);
    expect(text).to.equal('up\nend\n');
    expect(at(await task(second), 'attempts.1'), 'no second attempt').to.equal(undefined);
  });
});
