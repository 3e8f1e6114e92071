import { HubError } from '../model/hub-error.js';
import { ADMIN, type Caller, LOCAL_OPERATOR } from './caller.js';
import type { Connection } from './connection.js';
import { bearerToken, HashedSecret } from './secret.js';

/** Options of a {@link CallerRule}. */
export interface CallerRuleOptions {
  readonly adminToken: string;
  /** User that the hub runs as; undefined where users have no numbers. */
  readonly ownUid: number | undefined;
}

/** What a request says of its caller. */
export interface RequestFacts {
  /** Value of `authorization`, if there is one. */
  readonly authorization: string | undefined;
  /** Its connection; undefined when it is not known any more. */
  readonly connection: Connection | undefined;
}

const HOW = 'send "authorization: Bearer <token>" with the token of the file "token" in the hub\'s home';

/**
 * Says who calls, at every door of operators: whoever has the admin token is admin; without a token, a process
 * on the same machine whose user is the hub's own or root is `local-operator`; everybody else is refused.
 */
export class CallerRule {
  private readonly admin: HashedSecret;

  constructor(private readonly options: CallerRuleOptions) {
    this.admin = new HashedSecret(options.adminToken);
  }

  /** @throws HubError NOT_AUTHENTICATED saying what to do. */
  async authorize(request: RequestFacts): Promise<Caller> {
    const token = bearerToken(request.authorization);
    if (token !== undefined) return this.byToken(token);
    if (await this.isSameUser(request.connection)) return LOCAL_OPERATOR;
    throw new HubError(
      'NOT_AUTHENTICATED',
      `a token is needed, except for the hub's own user on its machine: ${HOW}`,
    );
  }

  private byToken(token: string): Caller {
    if (this.admin.matches(token)) return ADMIN;
    throw new HubError('NOT_AUTHENTICATED', `the token is not valid: ${HOW}`);
  }

  private async isSameUser(connection: Connection | undefined): Promise<boolean> {
    const { ownUid } = this.options;
    if (connection === undefined || ownUid === undefined || !connection.isLoopback) return false;
    const uid = await connection.peerUid();
    return uid !== undefined && (uid === ownUid || uid === 0);
  }
}
