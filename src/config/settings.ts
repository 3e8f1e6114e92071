/** Where a value may come from and what it is. */
export interface Setting {
  /** Key in config.json. */
  readonly key: string;
  /** Environment variable; for addresses it holds a port only. */
  readonly env?: string;
  /** Flag of `vm-agent hub`. */
  readonly flag?: string;
  readonly kind: 'address' | 'text' | 'level' | 'door';
  readonly fallback: string;
  /** One sentence for people. */
  readonly doc: string;
}

/** Every setting of the hub. Flags win over the environment, which wins over config.json. */
export const SETTINGS = [
  {
    key: 'grpc',
    env: 'VM_AGENT_GRPC_PORT',
    flag: 'grpc',
    kind: 'address',
    fallback: '127.0.0.1:9090',
    doc: 'Where operators reach the hub by gRPC, HOST:PORT.',
  },
  {
    key: 'http',
    env: 'HTTP_PORT',
    flag: 'http',
    kind: 'address',
    fallback: '127.0.0.1:9091',
    doc: 'Where operators reach the hub by REST, HOST:PORT.',
  },
  {
    key: 'dashboard',
    env: 'DASHBOARD_PORT',
    flag: 'dashboard',
    kind: 'address',
    fallback: '127.0.0.1:9092',
    doc: 'Where the dashboard is, HOST:PORT.',
  },
  {
    key: 'door',
    env: 'VM_AGENT_DOOR',
    flag: 'door',
    kind: 'door',
    fallback: '',
    doc: 'Where agents reach the hub: unix:/PATH or HOST:PORT. Default: a socket of its own.',
  },
  {
    key: 'provider',
    env: 'VM_AGENT_PROVIDER',
    flag: 'provider',
    kind: 'text',
    fallback: '',
    doc: 'Provider of machines when none is named. Default: the best that works.',
  },
  {
    key: 'logLevel',
    env: 'VM_AGENT_LOG_LEVEL',
    flag: 'log-level',
    kind: 'level',
    fallback: 'info',
    doc: 'How much is logged: debug, info, warn or error.',
  },
  {
    key: 'corsOrigins',
    env: 'VM_AGENT_CORS_ORIGINS',
    flag: 'cors-origins',
    kind: 'text',
    fallback: '',
    doc: 'Origins whose web pages may call REST with a token, with commas between them. Default: none.',
  },
] as const satisfies readonly Setting[];

/** Key of a setting. */
export type SettingKey = (typeof SETTINGS)[number]['key'];
