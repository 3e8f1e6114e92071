// Loaded into the agent that is measured: tells the parent when the start of a task is durable in the journal.
import { open } from 'node:fs/promises';

const handle = await open('/dev/null');
const prototype = Object.getPrototypeOf(handle);
await handle.close();
const { write, datasync } = prototype;
const started = new Map();

prototype.write = function (data, ...rest) {
  const found = String(data).matchAll(/"task":"([^"]+)","attempt":\d+,"state":"RUNNING"/g);
  const tasks = [...found].map((match) => match[1]);
  if (tasks.length > 0) started.set(this, [...(started.get(this) ?? []), ...tasks]);
  return write.call(this, data, ...rest);
};
prototype.datasync = async function () {
  await datasync.call(this);
  const atMs = performance.timeOrigin + performance.now();
  for (const task of started.get(this) ?? []) process.send?.({ task, atMs });
  started.delete(this);
};
