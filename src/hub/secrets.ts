import { createHash, randomBytes } from 'node:crypto';

/** A new join secret: 256 random bits as 64 hexadecimal digits. */
export function newSecret(): string {
  return randomBytes(32).toString('hex');
}

/** What is stored of a secret: its SHA-256, hexadecimal. Enough for secrets with 256 random bits. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
