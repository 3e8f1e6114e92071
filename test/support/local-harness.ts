import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.js';
import {
  createLocalProvider,
  type LocalProviderOptions,
} from '../../src/vm/providers/local/local-provider.js';
import type { ProviderHarness } from '../contract/vm-provider-suite.js';
import { askStandIn, writeStandIn } from './stand-in-agent.js';

/** A harness with the directories that a test may look into. */
export interface LocalHarness extends ProviderHarness {
  readonly dir: string;
  readonly home: string;
  readonly machinesDir: string;
  readonly doorDir: string;
}

/** Makes a local provider in a temporary directory, with the stand-in as its agent. */
export async function localHarness(more: Partial<LocalProviderOptions> = {}): Promise<LocalHarness> {
  const dir = await mkdtemp(join(tmpdir(), 'vmt-'));
  const [home, machinesDir, doorDir] = [join(dir, 'user'), join(dir, 'm'), join(dir, 'door')];
  for (const path of [home, machinesDir, doorDir, join(dir, 'bundle')]) await mkdir(path);
  const agentProgram = join(dir, 'bundle', 'agent.mjs');
  await writeStandIn(agentProgram);
  const options = { machinesDir, home, agentProgram, nodePath: process.execPath, log: silentLogger, ...more };
  const door = `unix:${join(doorDir, 'agents.sock')}`;
  return {
    dir,
    home,
    machinesDir,
    doorDir,
    provider: createLocalProvider(options),
    again: () => createLocalProvider(options),
    boot: (name, vmGeneration, first) => ({
      agentId: name,
      door,
      vmGeneration,
      ...(first ? { joinSecret: `secret-of-${name}` } : {}),
    }),
    exec: (name, command) => askStandIn(join(machinesDir, name, 'mnt', 'state'), command),
    leftovers: (name) => leftovers(join(machinesDir, name)),
    addForeign: (name) => mkdir(join(machinesDir, name, 'something'), { recursive: true }).then(() => {}),
    close: () => rm(dir, { recursive: true, force: true }),
  };
}

/** The directory, processes whose command line names it, and mounts of this host that name it. */
async function leftovers(dir: string): Promise<readonly string[]> {
  const found = existsSync(dir) ? [dir] : [];
  for (const pid of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(dir)) found.push(`process ${pid}: ${line}`);
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (cwd.startsWith(dir)) found.push(`process ${pid} in ${cwd}`);
  }
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return [...found, ...mounts.filter((line) => line.includes(dir))];
}
