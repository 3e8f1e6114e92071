import { messageOf } from '../../../base/errno.js';
import { run } from '../../../base/process.js';
import { HubError } from '../../../model/hub-error.js';

/** Longest time that copying or removing the files of one machine may take, in milliseconds. */
const TREE_TIMEOUT_MS = 60 * 60_000;

/** Copies and removes directory trees with the rights that a machine has on its files. */
export class Trees {
  /** `prefix` is the program, with arguments, that gives these rights; may be empty. */
  constructor(private readonly prefix: () => Promise<readonly string[]>) {}

  /** Copies a tree with owners, modes, times, links and holes; shares blocks where the file system can. */
  async copy(source: string, target: string, signal: AbortSignal): Promise<void> {
    await this.tool(['cp', '-a', '--reflink=auto', '--', source, target], signal);
  }

  /** Removes trees, also read-only ones; missing ones are fine. */
  async remove(targets: readonly string[], signal: AbortSignal): Promise<void> {
    await this.tool(['rm', '-rf', '--one-file-system', '--', ...targets], signal);
  }

  /** Apparent bytes of a tree. */
  async size(path: string, signal: AbortSignal): Promise<number> {
    const text = await this.tool(['du', '-s', '--apparent-size', '--block-size=1', '--', path], signal);
    return Number.parseInt(text, 10);
  }

  private async tool(command: readonly string[], signal: AbortSignal): Promise<string> {
    const [file = '', ...args] = [...(await this.prefix()), ...command];
    const name = command[0] ?? '';
    try {
      const result = await run(file, args, { signal, timeoutMs: TREE_TIMEOUT_MS });
      if (result.code === 0) return result.stdout;
      throw fileError(
        name,
        result.stderr.trim().slice(0, 500) || `it ended with ${result.code ?? result.signal}`,
      );
    } catch (err) {
      signal.throwIfAborted();
      throw err instanceof HubError ? err : fileError(name, messageOf(err));
    }
  }
}

function fileError(tool: string, detail: string): HubError {
  const full = /No space left on device|Disk quota exceeded/.test(detail);
  return new HubError(full ? 'DISK_FULL' : 'VM_FAILED', `the machine's files: ${tool} failed: ${detail}`, {
    metadata: { tool, detail },
  });
}
