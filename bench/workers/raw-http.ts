import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { serve } from '../support/worker.js';

function answer(req: IncomingMessage, res: ServerResponse, reply: Buffer): void {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    if (chunks.length > 0) JSON.parse(Buffer.concat(chunks).toString());
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': reply.length });
    res.end(reply);
  });
}

function listen(handler: (req: IncomingMessage, res: ServerResponse) => void): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer(handler);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** HTTP servers that read a JSON body and answer the same bytes. Each answers its port. */
export const rawHttp = serve({
  node: (reply: string) => {
    const bytes = Buffer.from(reply);
    return listen((req, res) => answer(req, res, bytes));
  },
  express: (reply: string) => {
    const bytes = Buffer.from(reply);
    const app = express();
    app.post('/agents/:agent/task', (req, res) => answer(req, res, bytes));
    app.get('/agents/:agent/status', (req, res) => answer(req, res, bytes));
    return listen(app);
  },
});

export type RawHttp = typeof rawHttp;
