import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** Where a browser may be. */
const PROGRAMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
/** Longest time for anything that a page is asked to do. */
const ANSWER_MS = 60_000;

interface Answer {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** A browser without a window, spoken to through two pipes by the DevTools protocol. */
export class Chromium {
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private lastId = 0;

  private constructor(
    private readonly child: ChildProcess,
    private readonly profile: string,
  ) {
    let rest = '';
    (child.stdio[4] as Readable).setEncoding('utf8').on('data', (text: string) => {
      const messages = (rest + text).split('\0');
      rest = messages.pop() ?? '';
      for (const message of messages) this.receive(JSON.parse(message));
    });
  }

  /** The browser of this computer; undefined when it has none. */
  static program(): string | undefined {
    return PROGRAMS.find((program) => existsSync(program));
  }

  /** Starts a browser with a profile of its own. */
  static async start(program: string): Promise<Chromium> {
    const profile = await mkdtemp(join(tmpdir(), 'chromium-'));
    const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const plain = ['--headless=new', '--disable-gpu', '--no-first-run', '--disable-dev-shm-usage'];
    const args = [
      ...plain,
      ...asRoot,
      '--remote-debugging-pipe',
      `--user-data-dir=${profile}`,
      'about:blank',
    ];
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, HOME: profile },
    });
    return new Chromium(child, profile);
  }

  /** Opens a page in a tab of its own. */
  async open(url: string): Promise<Page> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page((method, params) => this.send(method, params, String(sessionId)));
    await page.load(url);
    return page;
  }

  async close(): Promise<void> {
    if (this.child.exitCode === null) {
      const exited = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await exited;
    }
    await rm(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  private async send(method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.lastId;
    const message = { id, method, params, ...(sessionId === undefined ? {} : { sessionId }) };
    const answered = new Promise<Answer>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the browser did not answer ${method}`)), ANSWER_MS);
      this.waiting.set(id, (answer) => {
        clearTimeout(late);
        resolve(answer);
      });
    });
    (this.child.stdio[3] as Writable).write(`${JSON.stringify(message)}\0`);
    const { result, error } = await answered;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  private receive(answer: Answer): void {
    const settle = answer.id === undefined ? undefined : this.waiting.get(answer.id);
    if (answer.id !== undefined) this.waiting.delete(answer.id);
    settle?.(answer);
  }
}

/** A tab. */
export class Page {
  constructor(private readonly send: (method: string, params: object) => Promise<Record<string, unknown>>) {}

  /** Loads an address and waits until its document is there. */
  async load(url: string): Promise<void> {
    const { errorText } = await this.send('Page.navigate', { url });
    if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
    const loaded = `new Promise((resolve) => {
      const look = () => location.href !== 'about:blank' && document.readyState === 'complete'
        ? resolve(true) : setTimeout(look, 20);
      look();
    })`;
    await this.evaluate(loaded);
  }

  /** What an expression of the page is, once it is settled. @throws Error with what the page threw. */
  async evaluate(expression: string): Promise<unknown> {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', options);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value?: unknown }).value;
  }

  /** Calls a function in the page, which sees nothing but its arguments. */
  call<Args extends unknown[], Result>(
    fn: (...args: Args) => Result,
    ...args: Args
  ): Promise<Awaited<Result>> {
    const list = args.map((arg) => JSON.stringify(arg)).join(', ');
    // esbuild names functions by a helper that the page does not have.
    return this.evaluate(`((__name) => (${fn})(${list}))((named) => named)`) as Promise<Awaited<Result>>;
  }
}
