import { Option } from 'clipanion';
import { BaseCommand } from './base-command.js';

/** What commands share that start or stop the hub of a home. */
export abstract class HubOptionsCommand extends BaseCommand {
  grpc = Option.String('--grpc', {
    description: '<host:port> where operators connect (default 127.0.0.1:9090)',
  });
  http = Option.String('--http', { description: '<host:port> of the REST bridge (default 127.0.0.1:9091)' });
  dashboard = Option.String('--dashboard', {
    description: '<host:port> of the dashboard (default 127.0.0.1:9092)',
  });
  door = Option.String('--door', {
    description: '<address> where agents connect (default: a socket of its own)',
  });
  provider = Option.String('--provider', { description: '<name> kind of machine when none is named' });
  home = Option.String('--home', { description: '<dir> where everything is kept (default $VM_AGENT_HOME)' });
  logLevel = Option.String('--log-level', {
    description: '<level> debug, info, warn or error (default info)',
  });
  corsOrigins = Option.String('--cors-origins', {
    description: '<origins> of web pages that may call REST with a token, with commas between them',
  });

  /** The flags that were given, by name without dashes. */
  protected flags(): Record<string, string> {
    const { grpc, http, dashboard, door, provider, home } = this;
    const all = {
      grpc,
      http,
      dashboard,
      door,
      provider,
      home,
      'log-level': this.logLevel,
      'cors-origins': this.corsOrigins,
    };
    return Object.fromEntries(
      Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
    );
  }
}
