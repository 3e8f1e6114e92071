import { matchTemplate } from './router.js';
import type { Capture, Template } from './template.js';

/** A path template as OpenAPI can say it. */
export interface DescribedPath {
  /** Such as `/projects/{name_1}/vms/{name_2}:start`. */
  readonly path: string;
  /** The same for paths that OpenAPI takes for one: the path without the names of its parameters. */
  readonly key: string;
  readonly parameters: readonly PathParameter[];
}

/** A wildcard of a path. */
export interface PathParameter {
  readonly name: string;
  /** Dotted path of the field it goes into, in proto names; undefined when it goes nowhere. */
  readonly field: string | undefined;
  /** The template of the field when this is only a part of its value. */
  readonly partOf: string | undefined;
  /** Whether the value may hold slashes. */
  readonly many: boolean;
}

/** Says a template in OpenAPI's form: each wildcard becomes a parameter, literals of variables are written out. */
export function describePath(template: Template): DescribedPath {
  const parameters: PathParameter[] = [];
  const parts = template.segments.map((segment, at) => {
    if (segment.kind === 'literal') return segment.text;
    const parameter = wildcard(template, at, parameters.length + 1);
    const isTaken = parameters.some(({ name }) => name === parameter.name);
    const name = isTaken ? `${parameter.name}_${parameters.length + 1}` : parameter.name;
    parameters.push({ ...parameter, name });
    return `{${name}}`;
  });
  const path = `/${parts.join('/')}${template.verb === '' ? '' : `:${template.verb}`}`;
  return { path, key: path.replace(/\{[^}]*\}/g, '{}'), parameters };
}

function wildcard(template: Template, at: number, number: number): PathParameter {
  const many = template.segments[at]?.kind === 'many';
  const capture = template.captures.find(({ from, to }) => from <= at && at < to);
  if (capture === undefined) return { name: `any_${number}`, field: undefined, partOf: undefined, many };
  const { field, from, to } = capture;
  if (to - from === 1) return { name: field, field, partOf: undefined, many };
  const before = template.segments.slice(from, at).filter((segment) => segment.kind !== 'literal').length;
  return { name: `${field}_${before + 1}`, field, partOf: captureText(template, capture), many };
}

function captureText({ segments }: Template, { from, to }: Capture): string {
  const texts = { one: '*', many: '**' };
  const parts = segments.slice(from, to);
  return parts.map((part) => (part.kind === 'literal' ? part.text : texts[part.kind])).join('/');
}

/** Whether a template matches every path that another one does. */
export function covers(wide: Template, narrow: Template): boolean {
  return samplePaths(narrow).every((sample) => matchTemplate(wide, sample) !== undefined);
}

/** Paths of a template with texts that no literal has. */
function samplePaths({ segments, verb }: Template): string[][] {
  const lengths = segments.some((segment) => segment.kind === 'many') ? [0, 1, 2, 5] : [1];
  return lengths.map((length) => {
    const parts = segments.flatMap((segment, i) => {
      if (segment.kind === 'literal') return [segment.text];
      return Array.from({ length: segment.kind === 'one' ? 1 : length }, (_, k) => `\u0000${i}.${k}`);
    });
    if (verb === '') return parts;
    return [...parts.slice(0, -1), `${parts.at(-1) ?? ''}:${verb}`];
  });
}
