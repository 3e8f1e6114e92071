import { ScalarType } from '@bufbuild/protobuf';
import { goBase64 } from './go-base64.js';
import {
  type IntegerBase,
  ParseError,
  parseBoolean,
  parseFloating,
  parseInteger,
  parseUnsigned,
} from './scalars.js';

/** Reads a text as a scalar, in the form that reflection takes. @throws ParseError. */
export function parseScalar(type: ScalarType, text: string, base: IntegerBase): unknown {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BYTES:
      return parseBytes(text);
    case ScalarType.BOOL:
      return parseBoolean(text);
    case ScalarType.DOUBLE:
      return parseFloating(text, 64);
    case ScalarType.FLOAT:
      return parseFloating(text, 32);
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return Number(parseInteger(text, 32, base));
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return Number(parseUnsigned(text, 32, base));
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return parseUnsigned(text, 64, base);
    default:
      return parseInteger(text, 64, base);
  }
}

/** Standard or URL-safe base64; padding is required. */
function parseBytes(text: string): Uint8Array {
  try {
    return new Uint8Array(goBase64(text, { url: false, padded: true }));
  } catch (err) {
    if (!(err instanceof ParseError)) throw err;
    return new Uint8Array(goBase64(text, { url: true, padded: true }));
  }
}
