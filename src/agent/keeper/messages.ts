import type { OutputStream } from '../../model/output.js';
import type { TaskSpec } from '../../model/task.js';
import type { AttemptId } from '../attempt-id.js';
import type { Ending } from '../executors/executor.js';
import type { KillScope } from '../kill-scope.js';
import type { SpoolEnd, SpoolLimits } from '../spool-writer.js';
import type { StopKind } from '../stop.js';
import type { TaskUser } from '../task-user.js';

/**
 * Version of these messages. `hello`, `welcome` and `quit` stay as they are for ever; a change of the others that
 * the other side cannot ignore raises the number. Fields may be added without that.
 */
export const KEEPER_PROTOCOL = 1;

/** Socket of the keeper and its lock, in the agent's state directory. */
export const KEEPER_SOCKET = 'keeper.sock';
export const KEEPER_LOCK = 'keeper.lock';

/** How attempts are run; the newest agent's is taken for new attempts. */
export interface KeeperSettings {
  readonly home: string;
  readonly baseEnv: Readonly<Record<string, string>>;
  readonly uid: number;
  /** Whose processes tasks are. Default: the keeper's user. */
  readonly user?: TaskUser;
  readonly allowSudo: boolean;
  readonly node: string;
  readonly scope: KillScope;
  readonly spoolLimits: SpoolLimits;
}

/** An attempt to run now. */
export interface RunRequest extends AttemptId {
  readonly lane: string;
  readonly stopLaneOnFailure: boolean;
  readonly spec: TaskSpec;
}

/** How an attempt ended, with what the spool knows of its output. */
export interface ExitRecord {
  readonly ending: Ending;
  /** Milliseconds since 1970. */
  readonly endMs: number;
  readonly totals: Readonly<Record<OutputStream, number>>;
  readonly tails: Readonly<Record<OutputStream, string>>;
}

/** An attempt that the keeper has: it runs, or its end was not yet released. */
export interface KeptAttempt extends AttemptId {
  /** Marks its processes. */
  readonly mark: string;
  readonly lane: string;
  readonly stopLaneOnFailure: boolean;
  readonly end: SpoolEnd;
  readonly record?: ExitRecord;
}

/** First message of an agent. */
export interface KeeperHello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly journalId: string;
  /** Journals that this one goes on from. Attempts of any other are of no use to anybody: they are killed. */
  readonly former: readonly string[];
  readonly settings: KeeperSettings;
}

/** What the agent tells the keeper. */
export type ToKeeper =
  | KeeperHello
  | ({ readonly type: 'run' } & RunRequest)
  | ({ readonly type: 'stop'; readonly kind: StopKind; readonly force: boolean } & AttemptId)
  /** Files of its spool below this number are gone. */
  | ({ readonly type: 'freed'; readonly before: number } & AttemptId)
  /** Its end is in the journal: the keeper may forget it. */
  | ({ readonly type: 'release' } & AttemptId)
  | { readonly type: 'freeze' }
  | { readonly type: 'thaw' }
  /** End now, unless something runs. */
  | { readonly type: 'quit' };

/** Answer to hello. */
export interface KeeperWelcome {
  readonly type: 'welcome';
  readonly protocol: number;
  /** Of the program. */
  readonly version: string;
  readonly attempts: readonly KeptAttempt[];
  /** Whether it knows {@link KeeperSettings.user}. */
  readonly knowsUsers?: boolean;
}

/** What the keeper tells the agent. */
export type FromKeeper =
  | KeeperWelcome
  /** It is not started: it was before (`known`), or cannot be. */
  | ({ readonly type: 'refused'; readonly known: boolean; readonly message: string } & AttemptId)
  | ({ readonly type: 'output'; readonly end: SpoolEnd } & AttemptId)
  | ({ readonly type: 'ended'; readonly end: SpoolEnd; readonly record: ExitRecord } & AttemptId)
  | { readonly type: 'frozen'; readonly ok: boolean };
