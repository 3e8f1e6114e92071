import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** A new secret: 64 hexadecimal digits. */
export function newSecret(): string {
  return randomBytes(32).toString('hex');
}

/** A secret that is kept only as its hash and compared in constant time. */
export class HashedSecret {
  private readonly hash: Buffer;

  constructor(secret: string) {
    this.hash = sha256(secret);
  }

  /** Whether this is the secret. */
  matches(candidate: string): boolean {
    return timingSafeEqual(this.hash, sha256(candidate));
  }
}

/** The token of an `Authorization: Bearer` value; undefined when there is no value, empty when it is malformed. */
export function bearerToken(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined;
  return /^bearer +([^\s]{1,512})$/i.exec(authorization.trim())?.[1] ?? '';
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
