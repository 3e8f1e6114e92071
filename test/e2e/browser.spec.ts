import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Chromium, type Page } from '../support/e2e/chromium.js';
import { HubProcess, ROOT } from '../support/e2e/hub-process.js';
import { TcpProxy } from '../support/proxy.js';

const LINES = 200;
/** Prints numbered lines for some seconds. */
const COUNT = `i=0; while [ $i -lt ${LINES} ]; do echo line $i; i=$((i+1)); sleep 0.03; done`;
const ALL = Array.from({ length: LINES }, (_, i) => `line ${i}`);

describe('web pages', function () {
  this.timeout(120_000);
  let chromium: Chromium;
  let hub: HubProcess;
  let proxy: TcpProxy;
  let allowed: Server;
  let foreign: Server;
  let token: string;

  before(async function () {
    const program = Chromium.program();
    if (program === undefined) {
      console.log('SKIPPED: web pages against the REST door (no Chromium is installed)');
      this.skip();
      return;
    }
    allowed = await servePage();
    foreign = await servePage();
    chromium = await Chromium.start(program);
    hub = await HubProcess.start({ args: ['--cors-origins', originOf(allowed)] });
    await hub.ok(['create', 'dev', '--provider', 'local']);
    proxy = await TcpProxy.listen(hub.httpPort);
    token = await hub.token();
  });

  after(async () => {
    await chromium?.close();
    await proxy?.close();
    await hub?.close();
    allowed?.close();
    foreign?.close();
  });

  const post = async (command: string) => {
    const answer = await hub.rest('POST', '/agents/dev/task', { type: 'exec', command });
    return String(answer.at('taskId'));
  };
  const base = () => `http://localhost:${proxy.port}`;

  it('of an allowed origin call the hub with a token by fetch', async () => {
    const page = await chromium.open(originOf(allowed));
    const answer = await page.call(fetchTask, base(), token);
    expect(answer).to.deep.equal({ status: 200, state: 'SUCCEEDED', missing: 404 });
  });

  it('follow output by EventSource over cut connections, each line once, and stop at its end', async () => {
    const page = await chromium.open(`${base()}/version`);
    await page.call(follow, `/tasks/${await post(COUNT)}/logs?follow=true`);
    await cutWhile(page, proxy);
    const seen = await page.call(followed);
    expect(seen.lines).to.deep.equal(ALL);
    expect(seen.opened).to.be.greaterThan(2);
    expect(seen.state).to.equal('closed');
  });

  it('of an allowed origin follow output by the documented fetch, with a token and over cut connections', async () => {
    const page = await chromium.open(originOf(allowed));
    await page.evaluate(`window.follow = ${await documented('async function follow(')}`);
    await page.call(followDocumented, `${base()}/tasks/${await post(COUNT)}/logs?follow=true`, token);
    await cutWhile(page, proxy);
    const seen = await page.call(followed);
    expect(seen.lines).to.deep.equal(ALL);
    expect(seen.opened).to.be.greaterThan(2);
  });

  it('of an allowed origin have a terminal by WebSocket', async () => {
    const page = await chromium.open(originOf(allowed));
    const shell = await page.call(terminal, base().replace('http', 'ws'), token);
    expect(shell.output).to.contain('sum 42');
    expect(shell).to.deep.include({ protocol: 'vm-agent.v1', exit: 3, code: 1000 });
  });

  it('of other origins get nothing, with a token or without', async () => {
    const page = await chromium.open(originOf(foreign));
    for (const bearer of [token, '']) {
      const got = await page.call(tryAll, base(), bearer);
      expect(got).to.deep.equal({ fetch: 'TypeError', simple: 'TypeError', events: 'closed', socket: 1006 });
    }
  });

  it('of an allowed origin get nothing without a token', async () => {
    const page = await chromium.open(originOf(allowed));
    const got = await page.call(tryAll, base(), '');
    expect(got).to.deep.equal({ fetch: 403, simple: 403, events: 'closed', socket: 1006 });
  });
});

async function servePage(): Promise<Server> {
  const server = createServer((_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>page</title>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function originOf(server: Server): string {
  return `http://localhost:${(server.address() as AddressInfo).port}`;
}

/** The code block of docs/rest.md that begins so. */
async function documented(beginning: string): Promise<string> {
  const lines = (await readFile(join(ROOT, 'docs/rest.md'), 'utf8')).split('\n');
  const first = lines.findIndex((line) => line.startsWith(`    ${beginning}`));
  const length = lines.slice(first).findIndex((line) => !line.startsWith('    '));
  expect(first, beginning).to.be.at.least(0);
  return lines.slice(first, first + length).join('\n');
}

/** Cuts all connections again and again while a page follows, each time once it has got something new. */
async function cutWhile(page: Page, proxy: TcpProxy): Promise<void> {
  let before = 0;
  for (;;) {
    const { lines, state } = await page.call(followed);
    if (state === 'closed') return;
    if (lines.length >= before + 40) {
      before = lines.length;
      proxy.cut();
    }
    await sleep(50);
  }
}

// What follows runs in the page and sees nothing of this file.

interface Followed {
  readonly lines: string[];
  opened: number;
  state: 'open' | 'closed';
}

declare const window: {
  seen: Followed;
  fetch: typeof fetch;
  follow(url: string, token: string, each: (message: { record: { text: string } }) => void): Promise<void>;
};
declare const EventSource: new (
  url: string,
) => {
  readonly readyState: number;
  onopen: () => void;
  onmessage: (event: { readonly data: string }) => void;
  onerror: () => void;
};

function followed(): Followed {
  return window.seen;
}

function follow(url: string): void {
  const seen: Followed = { lines: [], opened: 0, state: 'open' };
  window.seen = seen;
  const source = new EventSource(url);
  source.onopen = () => {
    seen.opened++;
  };
  source.onmessage = ({ data }) => {
    seen.lines.push(JSON.parse(data).record.text);
  };
  source.onerror = () => {
    if (source.readyState === 2) seen.state = 'closed';
  };
}

function followDocumented(url: string, token: string): void {
  const seen: Followed = { lines: [], opened: 0, state: 'open' };
  window.seen = seen;
  const plain = window.fetch;
  window.fetch = async (...args) => {
    const response = await plain(...args);
    if (response.status === 200) seen.opened++;
    return response;
  };
  const each = ({ record }: { record: { text: string } }) => seen.lines.push(record.text);
  void window.follow(url, token, each).then(() => {
    seen.state = 'closed';
  });
}

async function fetchTask(url: string, token: string) {
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` };
  const body = JSON.stringify({ type: 'exec', command: 'true', wait: '30s' });
  const posted = await fetch(`${url}/agents/dev/task`, { method: 'POST', headers, body });
  const { task } = (await posted.json()) as { task: { state: string } };
  const missing = await fetch(`${url}/tasks/nothing`, { headers });
  return { status: posted.status, state: task.state, missing: missing.status };
}

async function terminal(url: string, token: string) {
  const encoded = btoa(token).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const socket = new WebSocket(`${url}/shell`, ['vm-agent.v1', `bearer.${encoded}`]);
  const seen = { protocol: '', output: '', exit: -1, code: 0 };
  const type = (text: string) => socket.send(JSON.stringify({ input: btoa(text) }));
  socket.onopen = () => {
    seen.protocol = socket.protocol;
    socket.send(JSON.stringify({ open: { agent: 'dev', argv: ['sh'] } }));
    type('echo sum $((6*7))\n');
  };
  socket.onmessage = ({ data }) => {
    const { result } = JSON.parse(String(data));
    const before = seen.output;
    if (result.output) seen.output += atob(result.output);
    if (!before.includes('sum 42') && seen.output.includes('sum 42')) type('exit 3\n');
    if (result.exit) seen.exit = result.exit.exitCode;
  };
  await new Promise<void>((resolve) => {
    socket.onclose = ({ code }) => {
      seen.code = code;
      resolve();
    };
  });
  return seen;
}

async function tryAll(url: string, token: string) {
  const nameOf = (err: unknown) => (err as Error).name;
  const headers: Record<string, string> = token === '' ? {} : { Authorization: `Bearer ${token}` };
  const asked = await fetch(`${url}/agents`, { headers }).then(({ status }) => status, nameOf);
  const simple = await fetch(`${url}/health`).then(({ status }) => status, nameOf);
  const source = new EventSource(`${url}/events`);
  const events = await new Promise<string>((resolve) => {
    source.onmessage = ({ data }) => resolve(data);
    source.onerror = () => resolve(source.readyState === 2 ? 'closed' : 'again');
  });
  const encoded = btoa(token).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const protocols = token === '' ? [] : ['vm-agent.v1', `bearer.${encoded}`];
  const socket = new WebSocket(`${url.replace('http', 'ws')}/events`, protocols);
  const code = await new Promise<number>((resolve) => {
    socket.onclose = (event) => resolve(event.code);
  });
  return { fetch: asked, simple, events, socket: code };
}
