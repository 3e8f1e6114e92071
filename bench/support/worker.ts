import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** How long a worker may take for one call. */
const CALL_MS = 300_000;

interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
}
type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: string };

/** What a worker can do: by name, with one argument that JSON can carry. */
export type Tasks = Readonly<Record<string, (args: never) => unknown>>;

type ArgsOf<T> = T extends (args: infer A) => unknown ? A : never;
type ResultOf<T> = T extends (args: never) => infer R ? Awaited<R> : never;

/** Makes this process a worker: it does what its parent calls for, and ends with it. */
export function serve<T extends Tasks>(tasks: T): T {
  process.on('message', (call: Call) => {
    const task = tasks[call.name] as ((args: unknown) => unknown) | undefined;
    void Promise.resolve()
      .then(() => task?.(call.args))
      .then(
        (value) => process.send?.({ id: call.id, value }),
        (err: unknown) =>
          process.send?.({ id: call.id, error: String(err instanceof Error ? err.stack : err) }),
      );
  });
  process.on('disconnect', () => process.exit());
  return tasks;
}

/** A process of its own that generates load or serves as a floor. */
export class Worker<T extends Tasks> implements AsyncDisposable {
  private calls = 0;

  private constructor(private readonly child: ChildProcess) {}

  /** Starts a file of bench/workers. */
  static async start<T extends Tasks>(name: string, nodeArgs: readonly string[] = []): Promise<Worker<T>> {
    const file = fileURLToPath(new URL(`../workers/${name}.ts`, import.meta.url));
    const child = fork(file, [], {
      execArgv: ['--import', 'tsx', ...nodeArgs],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    await once(child, 'spawn');
    return new Worker<T>(child);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** @throws what the worker threw, or when it ended. */
  call<K extends keyof T & string>(name: K, args: ArgsOf<T[K]>): Promise<ResultOf<T[K]>> {
    const id = ++this.calls;
    return new Promise((resolve, reject) => {
      const done = (work: () => void) => {
        clearTimeout(timer);
        this.child.off('message', onMessage);
        this.child.off('exit', onExit);
        work();
      };
      const onMessage = (answer: Answer) => {
        if (answer.id !== id) return;
        if ('error' in answer) done(() => reject(new Error(answer.error)));
        else done(() => resolve(answer.value as ResultOf<T[K]>));
      };
      const onExit = (code: number | null) => done(() => reject(new Error(`a worker ended with ${code}`)));
      const timer = setTimeout(() => done(() => reject(new Error(`${name} took too long`))), CALL_MS);
      this.child.on('message', onMessage);
      this.child.once('exit', onExit);
      this.child.send({ id, name, args } satisfies Call);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await ended;
  }
}
