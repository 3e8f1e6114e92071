import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { Server as TlsServer } from 'node:tls';

/** Takes connections that leave HTTP, such as WebSockets. */
export interface Upgrades {
  /** True when it has taken the connection; else the request is answered as if it had not asked for an upgrade. */
  take(req: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** Says goodbye to all who are connected, and takes nobody any more. */
  close(): void;
}

/** The upgraded connections of a server. */
export interface Upgraded {
  /** Says goodbye to all. */
  close(): void;
  /** Cuts those that are still there. */
  cut(): void;
}

/** Lets a server hand upgrades on. Without this Node.js ignores that a request asks for one. */
export function attachUpgrades(server: Server, upgrades: Upgrades): Upgraded {
  const sockets = new Set<Duplex>();
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (!upgrades.take(req, socket, head)) {
      answerPlainly(server, req, socket, head);
      return;
    }
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return {
    close: () => upgrades.close(),
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

const OF_UPGRADES = /^(connection|upgrade|http2-settings)$/i;

/** Node.js has stopped to read HTTP here: it is given the same request again, without its wish. */
function answerPlainly(server: Server, req: IncomingMessage, socket: Duplex, head: Buffer): void {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`];
  for (let i = 0; i + 1 < req.rawHeaders.length; i += 2) {
    const [name = '', value = ''] = req.rawHeaders.slice(i, i + 2);
    if (!OF_UPGRADES.test(name)) lines.push(`${name}: ${value}`);
  }
  const again = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  socket.unshift(Buffer.concat([again, head]));
  // What has been deciphered must not be taken for the beginning of TLS.
  server.emit(server instanceof TlsServer ? 'secureConnection' : 'connection', socket);
}
