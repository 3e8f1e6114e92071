import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

type Json = Record<string, unknown>;

/** An OpenAPI document, as far as tests look into it. */
export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: Json;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
  readonly 'x-left-out'?: readonly Readonly<Record<string, string>>[];
}

/** An operation of a document. */
export interface Operation {
  readonly operationId: string;
  readonly summary?: string;
  readonly description?: string;
  readonly deprecated?: boolean;
  readonly tags: readonly string[];
  readonly security?: readonly Json[];
  readonly parameters?: readonly (Json & { readonly name: string; readonly in: string })[];
  readonly requestBody?: { readonly content: Json; readonly required?: boolean };
  readonly responses: Readonly<Record<string, { readonly $ref?: string; readonly content?: Json }>>;
}

/** Compares values with the schemas of a document; properties that a schema does not name are wrong as well. */
export class SchemaCheck {
  private readonly ajv = new Ajv2020({ strict: false, allErrors: true });

  constructor(readonly document: OpenApiDocument) {
    formats.default(this.ajv);
    this.ajv.addFormat('float', { type: 'number', validate: (n: number) => Math.abs(n) <= 3.4028235e38 });
    this.ajv.addFormat('int64', { type: 'string', validate: (s: string) => isWide(s, true) });
    this.ajv.addFormat('uint64', { type: 'string', validate: (s: string) => isWide(s, false) });
    const closed = structuredClone(document) as unknown as { components: { schemas: Record<string, Json> } };
    for (const schema of Object.values(closed.components.schemas)) {
      if (schema.properties !== undefined) schema.additionalProperties = false;
    }
    this.ajv.addSchema(closed, 'document');
  }

  /** What is wrong with a value, in words; empty when nothing is. @param at keys that lead to the schema. */
  problems(at: readonly string[], value: unknown): string {
    const pointer = at.map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1')));
    const validate = this.ajv.getSchema(`document#/${pointer.join('/')}`);
    if (validate === undefined) return `there is no schema at ${at.join(' / ')}`;
    return validate(value) ? '' : this.ajv.errorsText(validate.errors, { dataVar: 'answer' });
  }

  /** What is wrong with the answer of an operation. */
  answerProblems(method: string, path: string, status: string, value: unknown): string {
    const operation = this.document.paths[path]?.[method];
    if (operation === undefined) return `there is no ${method} ${path}`;
    const response = operation.responses[status] ?? operation.responses.default;
    const at = response?.$ref?.slice(2).split('/') ?? ['paths', path, method, 'responses', status];
    return this.problems([...at, 'content', 'application/json', 'schema'], value);
  }
}

function isWide(text: string, signed: boolean): boolean {
  if (!/^-?(0|[1-9][0-9]*)$/.test(text)) return false;
  const value = BigInt(text);
  return signed ? BigInt.asIntN(64, value) === value : BigInt.asUintN(64, value) === value;
}
