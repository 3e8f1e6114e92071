/** An option as clipanion knows it. */
export interface OptionShape {
  readonly names: readonly string[];
  /** How many values follow it. */
  readonly arity: number;
}
