import type { Metadata } from '@grpc/grpc-js';
import { canonicalName } from './metadata-in.js';

/** Headers in the order in which they are written. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** Keys that the transport adds by itself; they say nothing about the answer. */
const TRANSPORT = new Set([
  'content-type',
  'date',
  'grpc-accept-encoding',
  'grpc-encoding',
  'grpc-status',
  'grpc-message',
]);

/** Response metadata as `Grpc-Metadata-<Name>` headers. Binary values are base64. */
export function metadataHeaders(metadata: Metadata | undefined, withTransport = false): HeaderList {
  return listOf(metadata, 'Grpc-Metadata-', withTransport);
}

/** Trailing metadata as `Grpc-Trailer-<Name>`, for clients that asked for trailers. */
export function trailerHeaders(metadata: Metadata | undefined): HeaderList {
  return listOf(metadata, 'Grpc-Trailer-');
}

function listOf(metadata: Metadata | undefined, prefix: string, withTransport = false): HeaderList {
  if (metadata === undefined) return [];
  return Object.keys(metadata.getMap())
    .filter((key) => withTransport || !TRANSPORT.has(key))
    .sort()
    .flatMap((key) =>
      metadata.get(key).map((value) => [prefix + canonicalName(key), asText(value)] as const),
    );
}

function asText(value: string | Buffer): string {
  return typeof value === 'string' ? headerText(value) : value.toString('base64');
}

/** A text as bytes that a header may hold: UTF-8, with controls as spaces. */
export function headerText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what headers may not hold
  return Buffer.from(text.replace(/[\u0000-\u001f\u007f]/g, ' '), 'utf8').toString('latin1');
}
