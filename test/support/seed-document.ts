/** A fenced block of code in a Markdown document. */
export interface CodeBlock {
  /** From 1. */
  readonly number: number;
  /** The last heading before it. */
  readonly heading: string;
  readonly language: string;
  readonly code: string;
}

/** One written change of the document's code, so that it can run here. */
export interface Edit {
  /** Number of the block. */
  readonly block: number;
  /** Text that has to be there. */
  readonly find: string;
  /** What stands there instead. */
  readonly replace: string;
  /** Why it cannot run as written. */
  readonly why: string;
}

/** All fenced blocks of a document, in order. */
export function codeBlocks(markdown: string): readonly CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let heading = '';
  let open: { language: string; lines: string[] } | undefined;
  for (const line of markdown.split('\n')) {
    if (open === undefined) {
      if (line.startsWith('```')) open = { language: line.slice(3).trim(), lines: [] };
      else if (/^#+ /.test(line)) heading = line.replace(/^#+ /, '');
    } else if (line.startsWith('```')) {
      blocks.push({
        number: blocks.length + 1,
        heading,
        language: open.language,
        code: open.lines.join('\n'),
      });
      open = undefined;
    } else {
      open.lines.push(line);
    }
  }
  return blocks;
}

/** The blocks with the edits made. Throws when an edit does not find its text. */
export function edited(blocks: readonly CodeBlock[], edits: readonly Edit[]): readonly CodeBlock[] {
  const result = blocks.map((block) => ({ ...block }));
  for (const { block: number, find, replace } of edits) {
    const block = result[number - 1];
    if (block === undefined || !block.code.includes(find)) {
      throw new Error(`block ${number} does not hold ${JSON.stringify(find)}`);
    }
    block.code = block.code.split(find).join(replace);
  }
  return result;
}
