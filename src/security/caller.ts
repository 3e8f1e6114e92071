/** What a caller may do; each role may do what those before it may. */
export const ROLES = ['viewer', 'operator', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Who calls. */
export interface Caller {
  /** Shown as the creator of tasks. */
  readonly name: string;
  readonly role: Role;
}

/** A caller on the same machine and of the same user (or root) without a token. */
export const LOCAL_OPERATOR: Caller = { name: 'local-operator', role: 'operator' };

/** Whoever holds the admin token. */
export const ADMIN: Caller = { name: 'admin', role: 'admin' };

/** Whether a caller's role is at least the needed one. */
export function hasRole(caller: Caller, needed: Role): boolean {
  return ROLES.indexOf(caller.role) >= ROLES.indexOf(needed);
}

/** Whether a text is a role. */
export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}
