/** A file of the runtime disk: copied from the host, written from a text, or a link. */
export type RuntimeEntry =
  | { readonly path: string; readonly source: string }
  | { readonly path: string; readonly text: string; readonly executable?: boolean }
  | { readonly path: string; readonly link: string };
