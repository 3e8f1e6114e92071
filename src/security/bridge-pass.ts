import { HubError } from '../model/hub-error.js';
import { type Caller, isRole } from './caller.js';
import { HashedSecret, newSecret } from './secret.js';

/** Metadata in which the HTTP bridge proves that it is of this process. */
export const BRIDGE_KEY = 'x-vmagent-bridge';
/** Metadata in which it names the caller that it has checked. */
export const BRIDGE_CALLER_KEY = 'x-vmagent-caller';

/**
 * Lets the HTTP bridge of the same process speak for callers whom it has checked itself. The secret is new in
 * each process and never leaves it.
 */
export class BridgePass {
  private readonly secret = newSecret();
  private readonly hashed = new HashedSecret(this.secret);

  /** Metadata for a call on behalf of a caller. */
  headers(caller: Caller): Readonly<Record<string, string>> {
    const value = JSON.stringify({ name: caller.name, role: caller.role });
    return { [BRIDGE_KEY]: this.secret, [BRIDGE_CALLER_KEY]: Buffer.from(value).toString('base64url') };
  }

  /**
   * The caller that a call with these values is made for.
   *
   * @throws HubError NOT_AUTHENTICATED.
   */
  caller(secret: string, caller: string | undefined): Caller {
    const named = this.hashed.matches(secret) ? parseCaller(caller ?? '') : undefined;
    if (named !== undefined) return named;
    throw new HubError('NOT_AUTHENTICATED', `${BRIDGE_KEY} is for the hub's own HTTP bridge: leave it out`);
  }
}

function parseCaller(text: string): Caller | undefined {
  try {
    const { name, role } = JSON.parse(Buffer.from(text, 'base64url').toString());
    return typeof name === 'string' && typeof role === 'string' && isRole(role) ? { name, role } : undefined;
  } catch {
    return undefined;
  }
}
