import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';

/** One event of a stream of them. */
interface Told {
  readonly id: string;
  readonly data: string;
}

describe('streams that are taken up again', function () {
  this.timeout(120_000);
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
    await hub.ok(['create', 'dev', '--provider', 'local']);
  });
  after(() => hub?.close());

  /** Reads events until there are so many, or the stream ends; then leaves. */
  const read = async (path: string, last: string, most = Number.POSITIVE_INFINITY) => {
    const leave = new AbortController();
    const headers = { Accept: 'text/event-stream', ...(last === '' ? {} : { 'Last-Event-ID': last }) };
    const response = await fetch(hub.httpUrl + path, { headers, signal: leave.signal });
    const told: Told[] = [];
    let id = last;
    let text = '';
    for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const blocks = (text + part).split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
        id = field('id') ?? id;
        const data = field('data');
        if (data !== undefined && field('event') === undefined) told.push({ id, data });
      }
      if (told.length >= most) break;
    }
    leave.abort();
    return { status: response.status, told, id };
  };

  /** Compares, for each position, what follows it with what followed it the first time. */
  const checkAll = async (path: string, whole: readonly Told[]) => {
    for (const [at, { id }] of whole.entries()) {
      const rest = await read(path, id);
      expect(rest.told, `behind ${id}`).to.deep.equal(whole.slice(at + 1));
      expect(rest.status).to.equal(rest.told.length > 0 ? 200 : 204);
    }
  };

  const run = async (command: string) => {
    const answer = await hub.rest('POST', '/agents/dev/task', { type: 'exec', command, wait: '30s' });
    expect(answer.at('task.state')).to.equal('SUCCEEDED');
    return String(answer.at('taskId'));
  };

  it('go on behind each line of output, also of those that were stored together', async () => {
    const task = await run('printf "1\\n2\\n3\\n"; sleep 0.3; printf "4\\n5\\n6" >&2; sleep 0.3; seq 7 20');
    const path = `/tasks/${task}/logs?follow=true`;
    const { told } = await read(path, '');
    expect(told.map(({ data }) => JSON.parse(data).record.text)).to.deep.equal(
      Array.from({ length: 20 }, (_, i) => String(i + 1)),
    );
    await checkAll(path, told);
  });

  it('go on behind each change of a task, and tell none twice', async () => {
    const answer = await hub.rest('POST', '/agents/dev/task', { type: 'exec', command: 'sleep 1' });
    const path = `/tasks/${answer.at('taskId')}:watch`;
    const states: string[] = [];
    let last = '';
    for (let status = 200; status === 200; ) {
      const next = await read(path, last, 1);
      status = next.status;
      last = next.id;
      states.push(...next.told.map(({ data }) => JSON.parse(data).task.state));
    }
    expect(states.at(-1)).to.equal('SUCCEEDED');
    expect(new Set(states).size, states.join()).to.equal(states.length);
  });

  it('go on behind each event, and miss none from before the first', async () => {
    const path = '/events?types=task';
    const start = await read(`${path}&cursor=`, '', 0);
    expect(start.id, 'where it starts').to.match(/^\d+$/);
    const task = await run('true');
    const whole: Told[] = [];
    let id = start.id;
    while (!whole.some(({ data }) => JSON.parse(data).event.type === 'task.ended')) {
      const next = await read(path, id, 1);
      whole.push(...next.told);
      id = next.id;
    }
    const types = whole.filter(({ data }) => JSON.parse(data).event.task === task);
    expect(types.map(({ data }) => JSON.parse(data).event.type)).to.deep.equal([
      'task.queued',
      'task.dispatched',
      'task.running',
      'task.ended',
    ]);
  });

  it('go on after the hub has started again', async () => {
    const task = await run('seq 1 50');
    const path = `/tasks/${task}/logs?follow=true`;
    const { told } = await read(path, '');
    await hub.crash();
    await hub.startAgain();
    const rest = await read(path, told[24]?.id ?? '');
    expect(rest.told).to.deep.equal(told.slice(25));
  });
});
