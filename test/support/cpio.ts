/** One entry of an archive. */
export interface CpioFile {
  readonly path: string;
  readonly mode: number;
  readonly device: readonly [number, number];
  readonly data: Buffer;
}

const HEAD = 110;

/** Reads an archive of the kind that the kernel unpacks, by its documentation. */
export function readCpio(archive: Buffer): readonly CpioFile[] {
  const files: CpioFile[] = [];
  for (let at = 0; ; ) {
    const head = archive.subarray(at, at + HEAD).toString('latin1');
    if (!head.startsWith('070701')) throw new Error(`no entry at ${at}`);
    const field = (index: number) => Number.parseInt(head.slice(6 + index * 8, 14 + index * 8), 16);
    const nameEnd = at + HEAD + field(11);
    const path = archive.subarray(at + HEAD, nameEnd - 1).toString('utf8');
    if (path === 'TRAILER!!!') return files;
    const start = Math.ceil(nameEnd / 4) * 4;
    const end = start + field(6);
    const device = [field(9), field(10)] as const;
    files.push({ path, mode: field(1), device, data: archive.subarray(start, end) });
    at = Math.ceil(end / 4) * 4;
  }
}
