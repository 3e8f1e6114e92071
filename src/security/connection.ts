import { isIPv4, type Socket } from 'node:net';
import { peerUid, type TcpEnds } from './peer-uid.js';

/** How the user at the other end of a connection is found out. */
export type UidLookup = (ends: TcpEnds) => Promise<number | undefined>;

/**
 * What is known of one accepted connection. The other end's user is looked up once, when it is first asked for:
 * it takes milliseconds, and callers with a token do not need it.
 */
export class Connection {
  private uid: Promise<number | undefined> | undefined;

  constructor(
    /** Both ends; undefined for anything but TCP. */
    readonly ends: TcpEnds | undefined,
    private readonly lookup: UidLookup = peerUid,
  ) {}

  /** Whether the other end is this machine. */
  get isLoopback(): boolean {
    return this.ends !== undefined && isLoopbackAddress(this.ends.remoteAddress);
  }

  /** User id of the other end; undefined when it cannot be told. */
  peerUid(): Promise<number | undefined> {
    this.uid ??= this.ends === undefined ? Promise.resolve(undefined) : this.lookup(this.ends);
    return this.uid;
  }
}

const known = new WeakMap<Socket, Connection>();

/** The facts of a socket, the same object for the life of the socket. */
export function connectionOf(socket: Socket, lookup?: UidLookup): Connection {
  const before = known.get(socket);
  if (before !== undefined) return before;
  const connection = new Connection(endsOf(socket), lookup);
  known.set(socket, connection);
  return connection;
}

/** Whether an address is one of this machine's loopback addresses. */
export function isLoopbackAddress(address: string): boolean {
  const plain = address.toLowerCase().startsWith('::ffff:') ? address.slice(7) : address;
  return plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'));
}

function endsOf(socket: Socket): TcpEnds | undefined {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  return { localAddress, localPort, remoteAddress, remotePort };
}
