/** What a figure is measured against. A ratio is ours / floor. */
export interface Goal {
  readonly of: 'ratio' | 'ours';
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** One line of the table: medians of several rounds. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly ours: number;
  /** What the same machine does with the least code that could do it, in the same run. */
  readonly floor?: number;
  /** What the floor is. */
  readonly floorIs?: string;
  readonly goal?: Goal;
  /** What limits it, or what else a reader should know. */
  readonly note?: string;
}

/** A bench; it answers figures or throws. */
export interface Bench {
  readonly name: string;
  readonly about: string;
  run(options: BenchOptions): Promise<readonly Figure[]>;
}

export interface BenchOptions {
  /** How often everything is measured, in turn with its floor. */
  readonly rounds: number;
  /** Fewer and smaller rounds: for trying out, not for writing down. */
  readonly quick: boolean;
}

/** Whether a figure meets its goal; undefined without a goal. */
export function isMet(figure: Figure): boolean | undefined {
  const { goal } = figure;
  if (goal === undefined) return undefined;
  const value = goal.of === 'ours' ? figure.ours : ratioOf(figure);
  if (value === undefined) return undefined;
  return value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity);
}

/** The figures as a table of Markdown, which a terminal shows as well. */
export function table(figures: readonly Figure[]): string {
  const head = ['figure', 'ours', 'floor', 'ratio', 'goal', '', 'floor is; what limits it'];
  const rows = figures.map((figure) => {
    const { what, unit, ours, floor, floorIs, note } = figure;
    const ratio = ratioOf(figure);
    const met = isMet(figure);
    return [
      what,
      `${number(ours)} ${unit}`,
      floor === undefined ? '' : `${number(floor)} ${unit}`,
      ratio === undefined ? '' : ratio.toFixed(2),
      goalText(figure),
      met === undefined ? '' : met ? 'met' : 'NOT MET',
      [floorIs, note].filter((text) => text !== undefined).join('; '),
    ];
  });
  const widths = head.map((title, at) =>
    Math.max(...[head, ...rows].map((row) => (row[at] ?? title).length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell.padEnd(at === cells.length - 1 ? 0 : (widths[at] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, at) => '-'.repeat(at === widths.length - 1 ? 3 : width + 2)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

function ratioOf({ ours, floor }: Figure): number | undefined {
  return floor === undefined || floor === 0 ? undefined : ours / floor;
}

function goalText({ goal, unit }: Figure): string {
  if (goal === undefined) return '';
  const suffix = goal.of === 'ours' ? ` ${unit}` : '';
  return goal.atLeast === undefined
    ? `<= ${number(goal.atMost ?? 0)}${suffix}`
    : `>= ${number(goal.atLeast)}${suffix}`;
}

function number(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}
