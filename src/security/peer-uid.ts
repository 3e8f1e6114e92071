import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { endianness } from 'node:os';
import { SharedWork } from '../base/shared-work.js';

/** Both ends of a TCP connection, as the accepting side sees them. */
export interface TcpEnds {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'];
/** A line of an ESTABLISHED socket: both ends, the uid, the inode. */
const ESTABLISHED = /^ *\d+: (\S+) (\S+) 01 \S+ \S+ \S+ +(\d+) +\d+ (\d+)/gm;

/** Uids of sockets by their two ends, as the kernel writes them. */
type SocketUids = ReadonlyMap<string, readonly number[]>;

/**
 * After a burst of short connections the tables are megabytes, so one reading answers all callers that wait, and
 * only one is in memory.
 */
const tables = new SharedWork(async () => socketUids(await Promise.all(TABLES.map(readTable))));

/**
 * User id of the process at the other end of a connection on this machine. Undefined when it cannot be told: not
 * Linux, or the other end is not on this machine or has closed.
 */
export async function peerUid(ends: TcpEnds): Promise<number | undefined> {
  return findUid(await tables.run(), ends);
}

/**
 * The uid in the kernel's tables of the socket whose local end is our remote end, and the other way round.
 *
 * Only an ESTABLISHED socket that a process holds counts. A closed one that still has bytes to send is owned by
 * nobody and shows uid 0, so that whoever sends and closes at once would pass for root.
 */
export function findUid(sockets: SocketUids, ends: TcpEnds): number | undefined {
  const local = kernelEnd(ends.remoteAddress, ends.remotePort);
  const remote = kernelEnd(ends.localAddress, ends.localPort);
  const uids = local.flatMap((from) => remote.flatMap((to) => sockets.get(`${from} ${to}`) ?? []));
  const [first] = uids;
  return uids.every((uid) => uid === first) ? first : undefined;
}

/** The sockets of the kernel's tables that {@link findUid} may believe. */
export function socketUids(texts: readonly string[]): SocketUids {
  const uids = new Map<string, number[]>();
  for (const text of texts)
    for (const [, from, to, uid, inode] of text.matchAll(ESTABLISHED)) {
      if (inode === '0') continue;
      const key = `${from} ${to}`;
      uids.set(key, [...(uids.get(key) ?? []), Number(uid)]);
    }
  return uids;
}

async function readTable(path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1');
  } catch {
    return '';
  }
}

/** One end as the kernel writes it: an IPv4 address may also stand in the table of IPv6, mapped. */
function kernelEnd(address: string, port: number): readonly string[] {
  const end = port.toString(16).toUpperCase().padStart(4, '0');
  const plain = address.toLowerCase().startsWith('::ffff:') ? address.slice(7) : address;
  if (!isIPv4(plain)) return [`${words(ipv6Bytes(address))}:${end}`];
  const bytes = plain.split('.').map(Number);
  const mapped = [...Array<number>(10).fill(0), 255, 255, ...bytes];
  return [`${words(bytes)}:${end}`, `${words(mapped)}:${end}`];
}

/** Bytes as 32-bit words in the host's byte order, hexadecimal. */
function words(bytes: readonly number[]): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 4) {
    const word = bytes.slice(i, i + 4);
    if (endianness() === 'LE') word.reverse();
    text += word.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join('');
  }
  return text;
}

function ipv6Bytes(address: string): number[] {
  const [head = '', tail] = address.split('%')[0]?.split('::') ?? [];
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0);
  return [...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 255]);
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}
